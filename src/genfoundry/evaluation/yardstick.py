"""The one yardstick: every figure that a report can show, what it means, and how it is computed from scores.

Scores (numpy, a value an item) are those of `metrics`, and on `test` also: "features_control" and "real_control" (n, F)
in a network with random weights; "near" and "near_real" (n,), distances of samples and of real items to the nearest
training item, and "copies" (n,); "class_hits" and "class_hits_real" (N, S), what each of S classifiers got right;
"restore_<damage>_psnr" and the like (n,); and those of `abilities.figures`. Groups stand beside them, as there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Literal

import numpy as np

from genfoundry.evaluation import training_seeds
from genfoundry.evaluation.bootstrap import Array, Estimate, Ids, mean, medians, of_draws, shares_of, sum_of_means
from genfoundry.evaluation.distances import frechet_distance, kernel_distance
from genfoundry.evaluation.manifolds import manifolds, neighbour
from genfoundry.evaluation.metric import TITLES, Figure
from genfoundry.evaluation.metrics import figures as abilities
from genfoundry.evaluation.objective_intervals import estimate, flat, measured
from genfoundry.evaluation.objectives import GROUP, OBJECTIVES, Scores, ids_of

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
    Figure(
        "class_accuracy",
        "CAS",
        "maximize",
        "share",
        "accuracy on real items of classifiers trained on samples, mean of 3 trainings",
        "labels",
    ),
    Figure("continued_psnr", "continued PSNR", "maximize", "dB", "frames drawn after the given", "samples", ("video",)),
    Figure("covered", "in 90%", "ideal", "share", "values inside the 90% interval", "forecast", ("series",), 0.9),
)

USED = {need for o in OBJECTIVES.values() for need in (*o.needs, o.cells)}  # scores whose mean is no figure of its own
USED |= {f"features{CONTROL}", f"real{CONTROL}", "near", "near_real", "class_hits", "class_hits_real"}


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
    """Every figure that the scores allow, with its 95% interval, `<name>_low` and `<name>_high`, beside it.

    So are `<name>_n`, its items, and `<name>_groups`, the independent groups that these come in and that the interval
    is over; an objective has its standard error too, `<name>_stderr`. An interval of precision, recall, density,
    coverage or 1-NN is over items at fixed neighbourhoods. A figure that is not finite is left out.
    """
    found = {o.name: estimate(o, scores, dims) for o in measured(scores, modality)}
    for suffix in ("", CONTROL):
        if f"features{suffix}" in scores:
            found |= {f"{name}{suffix}": one for name, one in _of_samples(*_samples(scores, suffix)).items()}
    if f"features{CONTROL}" in scores:
        found[f"frechet{CONTROL}"] = frechet_distance(*_samples(scores, CONTROL)).estimate()
    if "near" in scores:
        found["nearest"] = _nearest(scores)
    if "class_hits" in scores:
        for name, hits in (("class_accuracy", "class_hits"), ("class_accuracy_real", "class_hits_real")):
            found[name] = training_seeds.mean(np.asarray(scores[hits], np.float64), ids_of(scores, hits))
    found |= abilities.of(scores, dims, modality)
    others = [name for name in scores if name not in USED and not abilities.used(name) and not name.endswith(GROUP)]
    found |= {name: mean(scores[name], ids_of(scores, name)) for name in others}
    return dict(flat(dict(sorted(found.items())), intervals=True))


def _samples(scores: Scores, suffix: str) -> tuple[Array, Array, Ids | None]:
    """Generated and real features, and the groups of the real items, which are the same in any features."""
    fake, real = (np.asarray(scores[f"{which}{suffix}"], np.float64) for which in ("features", "real"))
    ids = ids_of(scores, f"real{suffix}")
    return fake, real, ids if ids is not None or "real" not in scores else ids_of(scores, "real")


def _of_samples(fake: Array, real: Array, ids: Ids | None) -> dict[str, Estimate]:
    """Figures of two samples of features, (n, F) each; none for fewer than three items or for features not finite."""
    if min(len(fake), len(real)) < 3 or not (np.isfinite(fake).all() and np.isfinite(real).all()):
        return {}
    of_real = ("recall", "coverage")
    found = {name: mean(x, ids if name in of_real else None) for name, x in manifolds(fake, real).items()}
    alike, n = neighbour(fake, real), len(fake)
    share = n / len(alike)  # the mean over all is a sum of two means
    kinds = (alike[:n] * share, None), (alike[n:] * (1 - share), ids)
    found["neighbour"] = replace(sum_of_means(float(alike.mean()), *kinds).within(0, 1), n=len(alike))
    return {"kernel": kernel_distance(fake, real, ids).estimate(), **found}


def _nearest(scores: Scores) -> Estimate:
    """Median over median; the draws resample both."""
    (ours, of_ours), (theirs, of_theirs) = (
        (np.asarray(scores[name], np.float64), ids_of(scores, name)) for name in ("near", "near_real")
    )
    below, n = float(np.median(theirs)), min(len(ours), len(theirs))
    if not below:
        return Estimate(math.nan, n, n)
    drawn = medians("near", ours, of_ours) / np.maximum(medians("near_real", theirs, of_theirs), 1e-12)
    shares = min((shares_of(of_ours, len(ours)), shares_of(of_theirs, len(theirs))), key=len)
    return of_draws(float(np.median(ours)) / below, drawn, n, shares)
