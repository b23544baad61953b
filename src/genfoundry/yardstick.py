"""The one yardstick: every figure that a report can show, what it means, and how it is computed from scores.

Scores (numpy, a value an item) are those of `metrics`, and on `test` also: "features_control" and "real_control" (n, F)
in a network with random weights; "near" and "near_real" (n,), distances of samples and of real items to the nearest
training item, and "copies" (n,); "class_hits", "class_hits_real", "augmented" and "plain" (N,), what classifiers got
right; "restore_<damage>_psnr" and the like (n,); and those of `abilities.figures`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

import numpy as np

from genfoundry.abilities import figures as abilities
from genfoundry.distances import Array, kernel, kernel_draws, manifolds, neighbour
from genfoundry.gauge import TITLES, Figure, Found, counts, mean, rng
from genfoundry.metrics import GROUP, OBJECTIVES, RESAMPLES, Scores, centred, interval

__all__ = ["CONTROL", "FIGURES", "Figure", "figures"]

CONTROL = "_control"  # what a figure in the features of a network with random weights is called after


MEASURED = {  # an objective's first score -> the ability that it needs, and what the figure says (and `RESTORED`)
    "nll": ("likelihood", "negative log-likelihood of test items, or a bound on it"),
    "nll_carried": ("stream", "the same of test text read in one go, the state carried from each window to the next"),
    "frame": ("likelihood", "the same, a frame that is predicted"),
    "mae": ("forecast", "mean absolute error of the median forecast"),
    "mase": ("forecast", "mean absolute scaled error of the median forecast (Hyndman and Koehler 2006)"),
    "dtw": ("forecast", "dynamic-time-warping distance of the median forecast"),
    "chrf": ("translate", "chrF of a translation, mean over test items (1,000, if there are so many)"),
    "hits": ("classify", "labelled test items whose class is told"),
    "features": ("samples", "squared Frechet distance of Gaussians fitted to the judge's features"),
}
SAMPLED: dict[str, tuple[Literal["minimize", "maximize", "ideal"], float | None, str]] = {
    "kernel": ("minimize", None, "unbiased squared kernel distance (cubic) in the judge's features"),
    "precision": ("maximize", None, "share of samples that lie where real items lie"),
    "recall": ("maximize", None, "share of real items that lie where samples lie"),
    "density": ("ideal", 1.0, "how densely real items surround a sample; 1 for real items"),
    "coverage": ("maximize", None, "share of real items with a sample among their neighbours"),
    "neighbour": ("ideal", 0.5, "how often an item's nearest neighbour is of its own kind; 0.5: alike"),
    "nearest": ("ideal", 1.0, "median distance of samples to the nearest training item / that of test items"),
    "copies": ("minimize", None, "share of samples that are nearly one training item"),
}
RESTORED = {
    "restore_gaussian": "noise of sigma 0.5 removed",
    "restore_salt_pepper": "a fifth of the values black or white",
    "restore_mask": "half of the pixels missing",
    "complete": "lower half given the upper",
}
OTHERS = (
    Figure("class_accuracy", "CAS", "maximize", "share", "accuracy on real items of a classifier of samples", "labels"),
    Figure(
        "augmentation_gain", "gain", "maximize", "share", "accuracy that samples add to 1,000 real labels", "labels"
    ),
    Figure("continued_psnr", "continued PSNR", "maximize", "dB", "frames drawn after the given", "samples", ("video",)),
    Figure("covered", "in 90%", "ideal", "share", "values inside the 90% interval", "forecast", ("series",), 0.9),
)

USED = {need for o in OBJECTIVES.values() for need in (*o.needs, o.cells)}  # scores whose mean is no figure of its own
USED |= {f"features{CONTROL}", f"real{CONTROL}", "near", "near_real", "class_hits", "class_hits_real"}
USED |= {"augmented", "plain"}


def _all() -> Iterator[Figure]:
    for o in (o for o in OBJECTIVES.values() if o.needs[0] in MEASURED):
        needs, says = MEASURED[o.needs[0]]
        yield Figure(
            o.name, TITLES.get(o.name, o.name.replace("_", " ")), o.direction, o.unit, says, needs, o.modalities
        )
    for name, (direction, ideal, says) in SAMPLED.items():
        title, unit = (
            ("1-NN" if name == "neighbour" else name),
            ("" if name in ("kernel", "density", "nearest") else "share"),
        )
        yield Figure(name, title, direction, unit, says, "samples", ideal=ideal)
    yield from OTHERS
    for what, says in RESTORED.items():
        for name, unit in (("psnr", "dB"), ("ssim", "of 1")):
            title, needs = f"{what.replace('_', ' ')} {name.upper()}", what.partition("_")[0]
            yield Figure(f"{what}_{name}", title, "maximize", unit, f"{name.upper()}, {says}", needs)
    yield from abilities.FIGURES


FIGURES: Mapping[str, Figure] = {f.name: f for f in _all()}


def figures(scores: Scores, dims: int, modality: str) -> dict[str, float]:
    """Every figure that the scores allow, with its 95% bootstrap interval, `<name>_low` and `<name>_high`, beside it.

    An objective has its standard error too, `<name>_stderr`.
    An interval of precision, recall, density, coverage or 1-NN is over items at fixed neighbourhoods. A figure that is
    not finite is left out.
    """
    found: dict[str, Found] = {}
    for o in OBJECTIVES.values():
        if modality in o.modalities and all(need in scores for need in o.needs):
            alone = len(scores[o.needs[0]]) < 2
            found[o.name] = (o.value(scores, dims), None if alone else o.resampled(scores, dims))
    for suffix in ("", CONTROL):
        if f"features{suffix}" in scores:
            fake, real = (np.asarray(scores[f"{which}{suffix}"], np.float64) for which in ("features", "real"))
            found |= {f"{name}{suffix}": pair for name, pair in _of_samples(fake, real).items()}
    if f"features{CONTROL}" in scores:
        control = {"features": scores[f"features{CONTROL}"], "real": scores[f"real{CONTROL}"]}
        frechet = OBJECTIVES["frechet"]
        found[f"frechet{CONTROL}"] = (frechet.value(control, dims), frechet.resampled(control, dims))
    if "near" in scores:
        found["nearest"] = _ratio(scores["near"], scores["near_real"])
    if "class_hits" in scores:
        found["class_accuracy"], found["class_accuracy_real"] = (
            mean(name, scores[name]) for name in ("class_hits", "class_hits_real")
        )
        found["augmentation_gain"] = mean("augmented", np.subtract(scores["augmented"], scores["plain"]))
    found |= abilities.of(scores, dims, modality)
    found |= {name: mean(name, scores[name]) for name in scores
              if name not in USED and not name.endswith(GROUP) and not abilities.used(name)}  # fmt: skip
    spread = {f"{n}_stderr": float(d.std(ddof=1)) for n, (_, d) in found.items() if n in OBJECTIVES and d is not None}
    flat = dict(_flat(found))
    return flat | {name: value for name, value in spread.items() if name.removesuffix("_stderr") in flat}


def _flat(found: Mapping[str, Found]) -> Iterator[tuple[str, float]]:
    for name, (value, draws) in sorted(found.items()):
        if math.isfinite(value):
            yield name, value
            if draws is not None and np.isfinite(draws).all():
                low, high = interval(draws)
                yield from ((f"{name}_low", low), (f"{name}_high", high))


def _of_samples(fake: Array, real: Array) -> dict[str, Found]:
    """Figures of two samples of features, (n, F) each; none for fewer than three items or for features not finite."""
    if min(len(fake), len(real)) < 3 or not (np.isfinite(fake).all() and np.isfinite(real).all()):
        return {}
    items = {**manifolds(fake, real), "neighbour": neighbour(fake, real)}
    drawn = [counts(f"kernel {which}", len(x)) for which, x in (("fake", fake), ("real", real))]
    found: dict[str, Found] = {name: mean(name, x) for name, x in items.items()}
    distance = kernel(fake, real)
    return {"kernel": (distance, centred(distance, kernel_draws(fake, real, *drawn))), **found}


def _ratio(near: object, real: object) -> Found:
    """Median over median; the draws resample both."""
    ours, theirs = np.asarray(near, np.float64), np.asarray(real, np.float64)
    below = float(np.median(theirs))
    if not below:
        return math.nan, None
    draws = rng("nearest")
    draw: Callable[[Array], Array] = lambda x: np.median(x[draws.integers(0, len(x), (RESAMPLES, len(x)))], axis=1)  # noqa: E731
    return float(np.median(ours)) / below, draw(ours) / np.maximum(draw(theirs), 1e-12)
