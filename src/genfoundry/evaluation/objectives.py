"""The metrics that a task can be tuned for and ranked by."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from genfoundry.errors import UserError
from genfoundry.evaluation.metric import Metric
from genfoundry.evaluation.metrics import all_metrics

if TYPE_CHECKING:
    from genfoundry.models.base import Hyper, Learner


@cache
def objectives() -> Mapping[str, Metric]:
    """Every objective by name."""
    return {name: metric for name, metric in all_metrics().items() if metric.objective}


def find_objective(name: str) -> Metric:
    """The objective called `name`.

    Raises:
        UserError: there is none; the message lists the names.
    """
    if name not in objectives():
        raise UserError(f"objective: expected one of {', '.join(objectives())}, got {name!r}")
    return objectives()[name]


def computable_objectives(model: type[Learner], modality: str, config: Hyper | None = None) -> tuple[str, ...]:
    """Names of the objectives that `model`, so configured, can compute on such data: by its abilities, not its name."""

    def can_compute(metric: Metric) -> bool:
        configured = metric.requires.configured
        return (configured is None or configured(config)) and metric.requires.is_met_by(model)

    return tuple(name for name, m in objectives().items() if modality in m.modalities and can_compute(m))
