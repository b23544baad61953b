"""Figures of what abilities give, from their scores.

Scores (numpy, a value an item): "bound_gap", a reported bound less the importance-weighted one, nats; "codes" (N, K)
of a model with a rate; "probe_accuracy" and "edit_flips", hits; "edit_moved" and "edit_away", squared distances of an
edited item and of the asked class's mean image to the original; "reconstruct_psnr", "reconstruct_ssim";
"complete_nats", of the values that are missing given those that are not; "continue_nats_per_char" of text;
"use_<level>" (N, K), how often an item chooses each discrete code; "chrf_counts" and "bleu_counts" (n, K) of
translations; "rolling_mae" and "rolling_mase" (O, T) of forecasts from O origins at T horizons;
"surprise_test" and "surprise_<others>" of test items and of what is none, each also "..._corrected". Groups of their
items stand beside them, as in `metrics`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from genfoundry.evaluation.bootstrap import Array, Estimate, Ids, of_sums, sum_of_means
from genfoundry.evaluation.chrf import ASKED, chrf
from genfoundry.evaluation.metric import TITLES, Figure
from genfoundry.evaluation.objectives import OBJECTIVES, Scores, ids_of
from genfoundry.evaluation.roc import auroc

ACTIVE = 0.01  # variance over items of a code's posterior mean, above which it carries something (Burda et al. 2016)
CORRECTED = "_corrected"
OTHERS = {  # what is no item of the data set
    "shuffled": "test items with their pixels shuffled",
    "constant": "images of one value, a pixel's of a test item",
    "smooth": "smooth random images",
    "digits": "scikit-learn's handwritten digits, brought to the same shape and levels",
    "classes": "test items of the classes that were left out of training",
}
TRANSLATED = (
    ("exact_lines", "exact lines", "share", f"translations that are right in every character, of {ASKED:,} items"),
    ("chrf_corpus", "chrF, corpus", "of 100", "chrF of all translations as one text"),
    ("bleu", "BLEU", "of 100", "BLEU of all translations, sacrebleu's tokens and smoothing"),
)
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
    says = "negative log-likelihood of a window's second half given the first"
    yield Figure("continue_nats_per_char", "continuation, nats/char", "minimize", "nats", says, "continue", ("text",))
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
    for name, title, unit, says in TRANSLATED:
        yield Figure(name, title, "maximize", unit, says, "translate", ("pairs",))
    for name, what in OTHERS.items():
        needs = "classes" if name == "classes" else "surprise"
        says = f"how often a test item is likelier than one of {what}; below 0.5 the likelihood prefers these"
        yield Figure(f"auroc_{name}", f"AUROC, {name}", "maximize", "share", says, needs)
        says = "the same, likelihood corrected by the shortest of the image formats"
        yield Figure(f"auroc_{name}{CORRECTED}", f"AUROC, {name}, corrected", "maximize", "share", says, needs)


FIGURES = tuple(_figures())
USED = ("bound_gap", "codes", "chrf_counts", "bleu_counts", "rolling_mae", "rolling_mase", "edit_moved", "edit_away")


def used(name: str) -> bool:
    """Whether a score is part of a figure, so that its mean is none."""
    return name in USED or name.startswith(("surprise_", "use_"))


def of(scores: Scores, dims: int, modality: str) -> dict[str, Estimate]:
    """The figures that are no means of a score."""
    found: dict[str, Estimate] = {}
    if "bound_gap" in scores and "nll" in scores:
        found |= {f"{name}_iw": one for name, one in _tightened(scores, dims, modality)}
    for score, (name, statistic) in SUMMED.items():
        if score in scores:
            found[name] = of_sums(name, statistic, np.asarray(scores[score], np.float64), ids_of(scores, score))
    if "codes" in scores:
        found["active_units"] = active(*_scored(scores, "codes"))
    for name in ("mae", "mase"):
        if f"rolling_{name}" in scores:
            found |= _rolling(name, *_scored(scores, f"rolling_{name}"))
    if "edit_moved" in scores:
        (moved, ids), (away, _) = (_scored(scores, f"edit_{which}") for which in ("moved", "away"))
        found["edit_identity"] = of_sums("edit_identity", kept, np.stack([moved, away], 1), ids)
    for name in (f"{other}{suffix}" for suffix in ("", CORRECTED) for other in OTHERS):
        if f"surprise_{name}" in scores:
            test = f"surprise_test{CORRECTED if name.endswith(CORRECTED) else ''}"
            found[f"auroc_{name}"] = auroc(_scored(scores, test), _scored(scores, f"surprise_{name}"))
    return found


def _scored(scores: Scores, name: str) -> tuple[Array, Ids | None]:
    """A score and the groups of its items."""
    return np.asarray(scores[name], np.float64), ids_of(scores, name)


def _tightened(scores: Scores, dims: int, modality: str) -> Iterator[tuple[str, Estimate]]:
    """The reported bound over all items, less the gap over some: the gap varies less than the bound does."""
    (nll, ids), (gap, of_gap) = _scored(scores, "nll"), _scored(scores, "bound_gap")
    for name, o in _BOUNDS.items():
        if modality in o.modalities:
            factor = o.factor(dims)
            value = factor * float(nll.mean() - gap.mean())
            yield f"{name}", sum_of_means(value, (factor * nll, ids), (-factor * gap, of_gap))


def _rolling(name: str, errors: Array, ids: Ids | None) -> Iterator[tuple[str, Estimate]]:
    """`rolling_<name>` of (O, T) errors, and `<name>_h1` ... of each horizon.

    Windows that overlap share values: where no groups are given, they are runs of origins, each as long as two windows
    (shorter, where there would not be five).
    """
    origins, steps = errors.shape
    seen, each = ~np.isnan(errors), by_horizon(errors)
    if ids is None:
        ids = np.arange(origins) * max(min(5, origins), origins // (2 * steps)) // origins
    there = seen.any(0)
    off = np.where(seen, errors - each, 0.0) * (origins / np.maximum(seen.sum(0), 1))  # influence, (O, T)
    if there.any():
        yield f"rolling_{name}", sum_of_means(float(each[there].mean()), (off[:, there].mean(1), ids))
    for h in np.flatnonzero(there):
        yield f"{name}_h{h + 1}", sum_of_means(float(each[h]), (off[:, h], ids))


def by_horizon(errors: Array) -> Array:
    """(T,) means over the origins at which there is an error; NaN where there is none."""
    seen = ~np.isnan(errors)
    mean: Array = np.where(seen, errors, 0.0).sum(0) / np.where(seen.any(0), seen.sum(0), np.nan)
    return mean


def active(codes: Array, ids: Ids | None = None) -> Estimate:
    """How many columns of (N, K) codes vary by more than `ACTIVE`."""

    def units(sums: Array) -> Array:
        n, first, second = sums[:, :1], *np.split(sums[:, 1:], 2, axis=1)
        spread = second / n - np.square(first / n)
        return np.asarray((spread > ACTIVE).sum(1), np.float64)

    centred = codes - codes.mean(0)
    return of_sums("active_units", units, np.hstack([np.ones((len(codes), 1)), centred, np.square(centred)]), ids)


def perplexity(use: Array) -> Array:
    """(..., K) counts -> (...): how many codes, all equally often, would be as hard to guess.

    1 of a collapsed codebook, K of one in even use (van den Oord et al. 2017, arXiv:1711.00937).
    """
    share = use / use.sum(-1, keepdims=True)
    entropy = -(share * np.log(np.where(share > 0, share, 1.0))).sum(-1)
    return np.asarray(np.exp(entropy))


def bleu(counts: Array) -> Array:
    """(..., 10) counts -> (...) of 100: BLEU of the whole, with sacrebleu's smoothing."""
    from sacrebleu.metrics import BLEU

    def one(row: Any) -> float:
        made, true, *grams = (int(n) for n in row)
        return float(BLEU.compute_bleu(grams[:4], grams[4:], made, true, smooth_method="exp").score)

    return np.apply_along_axis(one, -1, counts)


def kept(sums: Array) -> Array:
    """(..., 2) sums of `edit_moved` and `edit_away` -> (...): 1 - the former over the latter."""
    return np.asarray(1 - sums[..., 0] / sums[..., 1])


SUMMED: dict[str, tuple[str, Callable[[Array], Array]]] = {  # a score -> the figure of its sum over items
    "chrf_counts": ("chrf_corpus", chrf),
    "bleu_counts": ("bleu", bleu),
    **{f"use_{level}": (name, perplexity) for level, name in PERPLEXITY.items()},
}
