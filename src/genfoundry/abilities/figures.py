"""Figures of what abilities give, from their scores.

Scores (numpy, a value an item): "bound_gap", a reported bound less the importance-weighted one, nats; "codes" (N, K)
of a model with a rate; "probe_accuracy" and "edit_flips", hits; "edit_moved" and "edit_away", squared distances of an
edited item and of the asked class's mean image to the original; "reconstruct_psnr", "reconstruct_ssim";
"complete_nats", of the values that are missing given those that are not;
"use_<level>" (N, K), how often an item chooses each discrete code; "rolling_mae" and "rolling_mase" (O, T) of forecasts
from O origins at T horizons;
"surprise_test" and "surprise_<others>" of test items and of what is none, each also "..._corrected".
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from genfoundry.distances import Array
from genfoundry.gauge import TITLES, Figure, Found, counts, mean, rng
from genfoundry.metrics import OBJECTIVES, RESAMPLES, Scores

ACTIVE = 0.01  # variance over items of a code's posterior mean, above which it carries something (Burda et al. 2016)
CORRECTED = "_corrected"
OTHERS = {  # what is no item of the data set
    "shuffled": "test items with their pixels shuffled",
    "constant": "images of one value, a pixel's of a test item",
    "smooth": "smooth random images",
    "digits": "scikit-learn's handwritten digits, brought to the same shape and levels",
    "classes": "test items of the classes that were left out of training",
}
PERPLEXITY = {"codes": "perplexity", "top": "perplexity_top", "bottom": "perplexity_bottom"}  # level -> figure
_BOUNDS = {name: o for name, o in OBJECTIVES.items() if o.needs == ("nll",) and name != "nats"}
_ALL = ("images", "text", "lines", "series", "video", "pairs")


def _figures() -> Iterator[Figure]:
    for name in ("rate", "distortion"):
        says = "nats that the codes cost" if name == "rate" else "nats that the item costs once its codes are known"
        yield Figure(name, name, "minimize", "nats a sample", says, "rate", _ALL)
    for name, o in _BOUNDS.items():
        says = "the importance-weighted bound: nearer to -log p(x) the more draws"
        title = f"{TITLES.get(name, name.replace('_', ' '))}, IW"
        yield Figure(f"{name}_iw", title, "minimize", o.unit, says, "tighten", o.modalities)
    says = f"codes whose mean varies over test by more than {ACTIVE}"
    yield Figure("active_units", "active units", "maximize", "codes", says, "units", _ALL)
    for level, name in PERPLEXITY.items():
        says = f"exp of the entropy of the {level.replace('codes', 'discrete codes')} that test items choose"
        yield Figure(name, name.replace("_", " "), "maximize", "codes", says, "discrete", _ALL)
    for name, unit in (("psnr", "dB"), ("ssim", "of 1")):
        says = f"{name.upper()} of reconstructions"
        yield Figure(f"reconstruct_{name}", f"reconstruction {name.upper()}", "maximize", unit, says, "reconstruct")
    says = "negative log-likelihood of the true lower half given the upper"
    yield Figure("complete_nats", "completion, nats", "minimize", "nats a sample", says, "predict")
    for name in ("mae", "mase"):
        says = f"{name.upper()} of forecasts from every origin of test, over all horizons"
        unit = OBJECTIVES[name].unit
        yield Figure(f"rolling_{name}", f"{name.upper()}, rolling", "minimize", unit, says, "forecast", ("series",))
    says = "test items whose class a linear classifier reads off the codes"
    yield Figure("probe_accuracy", "linear probe", "maximize", "share", says, "probe", _ALL)
    says = "items, moved by the difference of two classes' mean codes, that the judge calls the class asked for"
    yield Figure("edit_flips", "edits that flip", "maximize", "share", says, "edit")
    says = "1: the edited item is the original; 0: as far from it as the mean image of the class asked for"
    yield Figure("edit_identity", "identity kept", "maximize", "of 1", says, "edit")
    for name, what in OTHERS.items():
        needs = "classes" if name == "classes" else "surprise"
        says = f"how often a test item is likelier than one of {what}; below 0.5 the likelihood prefers these"
        yield Figure(f"auroc_{name}", f"AUROC, {name}", "maximize", "share", says, needs)
        says = "the same, likelihood corrected by the shortest of the image formats"
        yield Figure(f"auroc_{name}{CORRECTED}", f"AUROC, {name}, corrected", "maximize", "share", says, needs)


FIGURES = tuple(_figures())
USED = ("bound_gap", "codes", "rolling_mae", "rolling_mase", "edit_moved", "edit_away")


def used(name: str) -> bool:
    """Whether a score is part of a figure, so that its mean is none."""
    return name in USED or name.startswith(("surprise_", "use_"))


def of(scores: Scores, dims: int, modality: str) -> dict[str, Found]:
    """The figures that are no means of a score."""
    found: dict[str, Found] = {}
    if "bound_gap" in scores and "nll" in scores:
        found |= {f"{name}_iw": pair for name, pair in _tightened(scores, dims, modality)}
    if "codes" in scores:
        found["active_units"] = active(np.asarray(scores["codes"], np.float64))
    for level, name in PERPLEXITY.items():
        if f"use_{level}" in scores:
            found[name] = perplexity(np.asarray(scores[f"use_{level}"], np.float64))
    for name in ("mae", "mase"):
        if f"rolling_{name}" in scores:
            found |= _rolling(name, np.asarray(scores[f"rolling_{name}"], np.float64))
    if "edit_moved" in scores:
        found["edit_identity"] = kept(*(np.asarray(scores[f"edit_{k}"], np.float64) for k in ("moved", "away")))
    for suffix in ("", CORRECTED):
        for name in OTHERS:
            if f"surprise_{name}{suffix}" in scores:
                ours, theirs = (np.asarray(scores[f"surprise_{k}{suffix}"], np.float64) for k in ("test", name))
                found[f"auroc_{name}{suffix}"] = auroc(ours, theirs)
    return found


def _tightened(scores: Scores, dims: int, modality: str) -> Iterator[tuple[str, Found]]:
    """The reported bound over all items, less the gap over some: the gap varies less than the bound does."""
    (nll, draws), (gap, gaps) = mean("bound", scores["nll"]), mean("bound gap", scores["bound_gap"])
    assert draws is not None and gaps is not None
    for name, o in _BOUNDS.items():
        if modality in o.modalities:
            factor = o.factor(dims)
            yield name, (factor * (nll - gap), factor * (draws - gaps))


def _rolling(name: str, errors: Array) -> Iterator[tuple[str, Found]]:
    """`rolling_<name>` of (O, T) errors, and `<name>_h1` ... of each horizon; the draws resample origins in blocks.

    Windows that overlap share values: origins are drawn in runs as long as a window (Kuensch 1989).
    """
    origins, steps = errors.shape
    blocks = -(-origins // steps)
    start = rng(f"rolling {name}").integers(0, max(origins - steps, 0) + 1, (RESAMPLES, blocks))
    drawn = (start[..., None] + np.arange(steps)).reshape(RESAMPLES, -1)[:, :origins] % origins
    each, draws = by_horizon(errors), np.stack([by_horizon(errors[index]) for index in drawn])
    yield f"rolling_{name}", (float(np.nanmean(each)), np.nanmean(draws, 1))
    for h in range(steps):
        yield f"{name}_h{h + 1}", (float(each[h]), draws[:, h])


def by_horizon(errors: Array) -> Array:
    """(T,) means over the origins at which there is an error; NaN where there is none."""
    seen = ~np.isnan(errors)
    mean: Array = np.where(seen, errors, 0.0).sum(0) / np.where(seen.any(0), seen.sum(0), np.nan)
    return mean


def active(codes: Array) -> Found:
    """How many columns of (N, K) codes vary by more than `ACTIVE`; the draws resample items."""
    centred = codes - codes.mean(0)
    weights = counts("active", len(codes)) / len(codes)
    spread = weights @ np.square(centred) - np.square(weights @ centred)
    return float((centred.var(0) > ACTIVE).sum()), (spread > ACTIVE).sum(1).astype(np.float64)


def perplexity(use: Array) -> Found:
    """How many codes, all equally often, would be as hard to guess as those of (N, K) counts; the draws resample items.

    1 of a collapsed codebook, K of one in even use (van den Oord et al. 2017, arXiv:1711.00937).
    """

    def of_counts(total: Array) -> Array:
        share = total / total.sum(-1, keepdims=True)
        entropy = -(share * np.log(np.where(share > 0, share, 1.0))).sum(-1)
        return np.asarray(np.exp(entropy))

    return float(of_counts(use.sum(0))), of_counts(counts("perplexity", len(use)) @ use)


def kept(moved: Array, away: Array) -> Found:
    """1 - mean of `moved` / mean of `away`, both (N,) of the same items, which are resampled together."""
    weights = counts("identity", len(moved))
    return 1 - float(moved.mean() / away.mean()), 1 - (weights @ moved) / (weights @ away)


def auroc(ours: Array, theirs: Array) -> Found:
    """How often a value of `theirs` is above one of `ours`, ties by half: the area under the ROC curve."""
    value, places = np.unique(np.concatenate([ours, theirs]), return_inverse=True)
    at, other = places[: len(ours)], places[len(ours) :]

    def area(a: Array, b: Array) -> float:
        """Of items drawn a and b times."""
        mine = np.bincount(at, a, len(value))
        yours = np.bincount(other, b, len(value))
        return float((yours * (np.cumsum(mine) - mine / 2)).sum() / (a.sum() * b.sum()))

    drawn = zip(counts("auroc ours", len(ours)), counts("auroc theirs", len(theirs)), strict=True)
    return area(np.ones(len(ours)), np.ones(len(theirs))), np.array([area(a, b) for a, b in drawn])
