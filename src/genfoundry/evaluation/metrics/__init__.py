"""The registry of metrics: a metric is one file here, found by its name, which lists its records as `METRICS`.

To read all metadata imports no torch: a metric's file imports it in the functions that need it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache

from genfoundry.evaluation.metric import GROUPS, Metric


@cache
def metrics_by_file() -> Mapping[str, tuple[Metric, ...]]:
    """Name of a file of this folder -> the metrics that it declares."""
    files = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return {name: importlib.import_module(f"genfoundry.evaluation.metrics.{name}").METRICS for name in files}


@cache
def all_metrics() -> Mapping[str, Metric]:
    """Every metric by name, in the order of a leaderboard's columns: by group, in it objectives first.

    Raises:
        ValueError: two files declare a metric of one name.
    """
    declared = [metric for metrics in metrics_by_file().values() for metric in metrics]
    order = list(GROUPS)
    # The sort is stable: within a group metrics keep the order of their files
    declared.sort(key=lambda metric: (order.index(metric.group), not metric.objective))
    by_name = {metric.name: metric for metric in declared}
    if len(by_name) < len(declared):
        names = [metric.name for metric in declared]
        raise ValueError(f"metrics: expected names that differ, got {sorted({n for n in names if names.count(n) > 1})}")
    return by_name


def metrics_of(modality: str) -> list[Metric]:
    """The metrics that apply to data of a modality."""
    return [metric for metric in all_metrics().values() if metric.applies_to(modality)]


def metrics_on_every_split() -> list[Metric]:
    """The metrics that are measured on `val`, `gate` and `test`, of every modality."""
    return [metric for metric in all_metrics().values() if not metric.test_only]


def metrics_on_test(modality: str) -> list[Metric]:
    """The metrics of a modality that are measured on `test` alone."""
    return [metric for metric in metrics_of(modality) if metric.test_only]


def files_of(modality: str) -> list[str]:
    """Names of the files whose metrics apply to data of a modality."""
    return [name for name, metrics in metrics_by_file().items() if any(m.applies_to(modality) for m in metrics)]


def file_of(metric: str) -> str:
    """Name of the file that declares a metric."""
    return next(name for name, metrics in metrics_by_file().items() if metric in {m.name for m in metrics})
