"""The class that a model tells of every item."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genfoundry.data.iterate import iter_batches
from genfoundry.evaluation.groups import grouped
from genfoundry.evaluation.predictions import Answers, Scores, batches_of
from genfoundry.models.abilities import Classifies

if TYPE_CHECKING:
    from genfoundry.models.base import Learner
    from genfoundry.splits import Split


def answers(model: Learner, split: Split, needs: Collection[str], samples: int, seed: int) -> Answers:
    """ "classes" (N,)."""
    if not isinstance(model, Classifies) or not split.spec.classes:
        return {}
    return {"classes": torch.cat([model.classify(b).argmax(1).cpu() for b in batches_of(model, split)])}


def scores(
    found: Mapping[str, Tensor], split: Split, judge: Learner | None, real: NDArray[np.generic] | None
) -> Scores:
    """ "hits" of the labelled items (M,); {} if there are none."""
    label = torch.cat([b.label for b in iter_batches(split) if b.label is not None]).cpu()
    if not (label >= 0).any():
        return {}
    hits = (found["classes"] == label)[label >= 0].double().numpy()
    return grouped({"hits": hits}, split, (label >= 0).nonzero().flatten())
