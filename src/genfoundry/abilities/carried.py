"""The likelihood of a text whose pieces are read one after another, the state carried."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from genfoundry.data.base import Contiguous
from genfoundry.models.base import Learner, Streams

if TYPE_CHECKING:
    from genfoundry.data.base import Split

LANES = 32  # parts of a split that are read side by side: only their first windows start from nothing


def nats(model: Learner, split: Split, lanes: int = LANES) -> Tensor | None:
    """(N,) nats of each item given all before it in its part of the split; None if it cannot be asked."""
    if not isinstance(model, Streams) or not isinstance(split, Contiguous):
        return None
    each = -(-len(split) // min(lanes, len(split)))
    first = torch.arange(0, len(split), each)  # the item that each part begins with
    state, found = None, []
    for step in range(each):
        index = (first + step).clamp(max=len(split) - 1)  # the last part may be shorter: what follows is cut off
        nll, state = model.stream(split.batch(index.to(split.whole.device)).to(model.device), state)
        found.append(nll.cpu().double())
    return torch.stack(found, 1).flatten()[: len(split)]
