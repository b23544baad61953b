"""Drawn images, and the features that a judge compares them with real ones by."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genfoundry.data.iterate import EVAL_BATCH, sample_indices, sample_items
from genfoundry.evaluation.groups import grouped
from genfoundry.evaluation.judge import Judges, features
from genfoundry.evaluation.predictions import Answers, Scores, seeded
from genfoundry.models.base import GenerativeModel

if TYPE_CHECKING:
    from genfoundry.models.base import Learner
    from genfoundry.splits import Split


def answers(model: Learner, split: Split, needs: Collection[str], samples: int, seed: int) -> Answers:
    """ "samples" (min(samples, N), C, H, W) of images."""
    if not isinstance(model, GenerativeModel) or len(split.spec.shape) != 3:
        return {}
    sizes = [len(part) for part in torch.split(torch.arange(min(samples, len(split))), EVAL_BATCH)]
    drawn = [seeded(seed, split, "sample", i, model.sample, n).cpu() for i, n in enumerate(sizes)]
    small = split.spec.levels is not None and split.spec.levels <= 256
    return {"samples": torch.cat([x.to(torch.uint8) if small else x for x in drawn])}


def scores(
    found: Mapping[str, Tensor], split: Split, judge: Learner | None, real: NDArray[np.generic] | None
) -> Scores:
    """ "features" of the n samples and "real" of n items of the split (n, F), where there is a judge."""
    if not isinstance(judge, Judges):
        return {}
    out: Scores = {"features": features(judge, found["samples"], split.spec.levels)}
    index = sample_indices(split, len(found["samples"]))
    if real is None or len(real) != len(index):
        real = features(judge, sample_items(split, len(index)), split.spec.levels)
    return out | grouped({"real": real}, split, index)
