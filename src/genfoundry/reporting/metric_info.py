"""Metric metadata for the report. This is the one module of the package that reads the registry of metrics."""

from __future__ import annotations

from collections.abc import Mapping

from genfoundry.evaluation.metric import GROUPS, Metric
from genfoundry.evaluation.metrics import all_metrics
from genfoundry.evaluation.metrics.frechet import CONTROL

__all__ = ["CONTROL", "GROUPS", "METRICS", "Metric"]

METRICS: Mapping[str, Metric] = all_metrics()
