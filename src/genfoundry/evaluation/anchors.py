"""What stands beside every model's own figures of a data set: real items against real ones, the last value, ..."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from genfoundry.evaluation import objectives
from genfoundry.evaluation.baselines import base as baselines
from genfoundry.evaluation.context import real_features
from genfoundry.evaluation.predict import score

if TYPE_CHECKING:
    from genfoundry.evaluation.cache import Shared
    from genfoundry.models.base import Learner


def of(
    known: baselines.BaselineInputs, modality: str, judging: Learner | None, shared: Shared, own: Mapping[str, float]
) -> dict[str, float]:
    """`frechet_floor`, `mae_persistence`, ...: the anchors' figures, for the objectives that the model has too."""
    split = known.held_out["test"]

    def compute() -> dict[str, NDArray[np.float64]]:
        found: dict[str, NDArray[np.float64]] = {}
        for row in baselines.fit_anchors(known, modality):
            answered = row.predict(split)
            scores = score(answered, split, judging, real_features(shared, split, answered, judging))
            after = row.role if row.role in ("floor", "ceiling") else row.name
            able = {n: unit for n, unit in objectives.OBJECTIVES.items() if all(need in scores for need in unit.needs)}
            found |= {f"{n}/{after}": np.array([unit.value(scores, split.spec.dims)]) for n, unit in able.items()}
        return found

    found = shared.get(f"anchors {split.name} {known.sample_counts['test']}", compute)
    return {key.replace("/", "_"): float(value[0]) for key, value in found.items() if key.partition("/")[0] in own}
