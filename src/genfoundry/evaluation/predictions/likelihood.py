"""The likelihood of every item, and whatever else a model measures beside it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genfoundry.data.iterate import iter_batches
from genfoundry.evaluation.groups import grouped
from genfoundry.evaluation.objectives import CELLS
from genfoundry.evaluation.predictions import Answers, Scores, batches_of, seeded
from genfoundry.models.base import GenerativeModel

if TYPE_CHECKING:
    from genfoundry.models.base import Learner
    from genfoundry.splits import Split


def answers(model: Learner, split: Split, needs: Collection[str], samples: int, seed: int) -> Answers:
    """ "nll" (N,) and the other quantities of `measure`, nats in float64."""
    if not isinstance(model, GenerativeModel) or model.likelihood == "none":
        return {}
    parts = [seeded(seed, split, "measure", i, model.measure, b) for i, b in enumerate(batches_of(model, split))]
    return {name: torch.cat([p[name].cpu().double() for p in parts]) for name in parts[0]}


def scores(
    found: Mapping[str, Tensor], split: Split, judge: Learner | None, real: NDArray[np.generic] | None
) -> Scores:
    """Every quantity as it is; "frame", the nll a frame of a video; "nll_cells", the values that are there (N,)."""
    each: Scores = {k: v.double().numpy() for k, v in found.items()}
    if "nll" in found and len(split.spec.shape) == 4:  # (T, C, H, W)
        each["frame"] = found["nll"].double().numpy() / split.spec.shape[0]
    if "nll" in found and (seen := _seen(split)) is not None:
        each[CELLS] = seen
    return grouped(each, split)


def _seen(split: Split) -> NDArray[np.float64] | None:
    """(N,) values of each item that are there; None where none is missing."""
    if split.spec.levels is not None or not split.tensor.isnan().any():
        return None
    return torch.cat([(~b.x.isnan()).flatten(1).sum(1) for b in iter_batches(split)]).cpu().double().numpy()
