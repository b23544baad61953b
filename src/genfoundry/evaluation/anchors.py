"""Anchors: metrics of trivial references (real items against real ones, the last value), shown beside every model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from genfoundry.evaluation.baselines import base as baselines
from genfoundry.evaluation.objectives import objectives
from genfoundry.evaluation.predict import score

if TYPE_CHECKING:
    from genfoundry.evaluation.context import SplitContext
    from genfoundry.evaluation.scores import Array


def measure_anchors(
    inputs: baselines.BaselineInputs, modality: str, context: SplitContext, metrics: Mapping[str, float]
) -> dict[str, float]:
    """Return `frechet_floor`, `mae_persistence`, ...: the anchors' values of the objectives that the model has too."""
    dims, name = context.split.spec.dims, context.split.name

    def compute() -> dict[str, Array]:
        values: dict[str, Array] = {}
        for row in baselines.fit_anchors(inputs, modality):
            scores = score(row.predict(context.split), context)
            suffix = row.role if row.role in ("floor", "ceiling") else row.name
            able = {n: metric for n, metric in objectives().items() if all(i in scores for i in metric.inputs)}
            values |= {f"{n}/{suffix}": np.array([metric.value(scores, dims)]) for n, metric in able.items()}
        return values

    values = context.cached(f"anchors {name} {inputs.sample_counts['test']}", compute)
    return {key.replace("/", "_"): float(value[0]) for key, value in values.items() if key.partition("/")[0] in metrics}
