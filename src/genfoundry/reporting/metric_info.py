"""Metric metadata for the report. This is the one module of the package that reads the registry of metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from genfoundry.evaluation.objectives import OBJECTIVES
from genfoundry.evaluation.yardstick import CONTROL, FIGURES

__all__ = ["CONTROL", "GROUPS", "METRICS", "Metric", "direction_label", "sort_key"]

GROUPS = {  # group -> its title, what its metrics say
    "likelihood": ("Likelihood", "The negative log-likelihood of held-out items, or a bound on it."),
    "samples": ("Samples", "How close generated items are to real ones, and whether they are memorized."),
    "classes": ("Classification", "How often the model predicts the class of an item."),
    "forecasts": ("Forecasting", "How far forecasts are from the values that followed."),
    "translations": ("Translation", "How well a generated target agrees with the true one."),
    "restoration": (
        "Reconstruction, denoising and inpainting",
        "How close a reconstructed or restored item is to the original. Every method receives the same damaged items.",
    ),
    "codes": ("Latent representation", "What the latent code costs, and what it holds."),
    "edits": (
        "Latent-space editing",
        "The difference of two classes' mean codes is added to an item's code, at strength 1. The references are pixel "
        "values moved likewise and the nearest training item of the target class.",
    ),
    "ood": (
        "Out-of-distribution detection",
        "AUROC of telling test items from other data by likelihood; 0.5 is chance. A raw likelihood is high for simple "
        "images whatever they show (Nalisnick et al. 2019); the corrected one subtracts the length of the image's "
        "shortest lossless file (Serra et al. 2020).",
    ),
}
_GROUP_OF_ABILITY = {
    **dict.fromkeys(("likelihood", "stream", "tighten", "continue"), "likelihood"),
    **dict.fromkeys(("samples", "labels"), "samples"),
    **{"classify": "classes", "forecast": "forecasts", "translate": "translations", "edit": "edits"},
    **dict.fromkeys(("restore", "complete", "reconstruct", "predict"), "restoration"),
    **dict.fromkeys(("rate", "units", "discrete", "probe"), "codes"),
    **dict.fromkeys(("surprise", "classes"), "ood"),
}
_TABULATED = ("likelihood", "samples", "labels", "classify", "forecast", "translate")


@dataclass(frozen=True)
class Metric:
    """What the report says about a metric; `column`: whether the leaderboard has it, and not the model's page alone."""

    name: str
    title: str
    unit: str
    direction: str  # "minimize", "maximize", or "ideal": then `ideal` is the best value
    ideal: float | None
    description: str
    requires: str  # the ability that a model needs to have it
    group: str  # a key of `GROUPS`
    column: bool


METRICS: Mapping[str, Metric] = {
    name: Metric(
        *(name, m.title, m.unit, m.direction, m.ideal, m.says, m.needs, _GROUP_OF_ABILITY[m.needs]),
        column=m.needs in _TABULATED or name in OBJECTIVES,
    )
    for name, m in FIGURES.items()
}


def sort_key(metric: Metric, value: float) -> float:
    """Map a value so that smaller is better (|value - ideal| for a two-sided metric)."""
    if metric.ideal is not None:
        return abs(value - metric.ideal)
    return value if metric.direction == "minimize" else -value


def direction_label(metric: Metric) -> str:
    """Which values are better, in a word or two."""
    if metric.ideal is not None:
        return f"{metric.ideal:g} is ideal"
    return "lower is better" if metric.direction == "minimize" else "higher is better"
