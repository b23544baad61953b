"""The likelihood of a text whose pieces are read one after another, the state carried."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genfoundry.evaluation.groups import grouped
from genfoundry.evaluation.predictions import Answers, Scores
from genfoundry.models.abilities import Streams
from genfoundry.models.base import Learner
from genfoundry.splits import Contiguous

if TYPE_CHECKING:
    from genfoundry.splits import Split

LANES = 32  # parts of a split that are read side by side: only their first windows start from nothing


def answers(model: Learner, split: Split, needs: Collection[str], samples: int, seed: int) -> Answers:
    """ "nll_carried" (N,), nats in float64."""
    found = nats(model, split)
    return {} if found is None else {"nll_carried": found}


def scores(
    found: Mapping[str, Tensor], split: Split, judge: Learner | None, real: NDArray[np.generic] | None
) -> Scores:
    """The same."""
    return grouped({"nll_carried": found["nll_carried"].double().numpy()}, split)


def nats(model: Learner, split: Split, lanes: int = LANES) -> Tensor | None:
    """(N,) nats of each item given all before it in its part of the split; None if it cannot be asked."""
    if not isinstance(model, Streams) or not isinstance(split, Contiguous):
        return None
    each = -(-len(split) // min(lanes, len(split)))
    first = torch.arange(0, len(split), each)  # the item that each part begins with
    state, found = None, []
    for step in range(each):
        index = (first + step).clamp(max=len(split) - 1)  # the last part may be shorter: what follows is cut off
        nll, state = model.stream(split.eval_batch(index.to(split.tensor.device)).to(model.device), state)
        found.append(nll.cpu().double())
    return torch.stack(found, 1).flatten()[: len(split)]
