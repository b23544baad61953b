"""Online edit-distance alignment: how far in its source a target has come.

The position is the end of the stretch of source that is nearest in edit distance (Wagner and Fischer 1974) to what is
written so far. It depends on the symbols before it alone. Only drifts of up to `REACH` are considered, so that a symbol
has a constant cost.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

REACH = 16
SUBSTITUTION, INDEL = 2, 3  # cost of a replaced symbol, and of an inserted or deleted one
INFINITE = 1 << 20


@dataclass
class EditAlignment:
    """Costs (B, 2 REACH + 1) after `t` symbols, of targets that end at source position t + k, k = -REACH..REACH."""

    source: Tensor  # (B, S + ...) symbols from position -REACH on, -1 where there are none
    cost: Tensor
    drift: Tensor  # (B,) the cheapest k, plus REACH
    t: int = 0

    @classmethod
    def start(cls, source: Tensor, length: int) -> EditAlignment:
        """Return the alignment before any symbol of targets of up to `length`; `source` (B, S)."""
        k = torch.arange(-REACH, REACH + 1, device=source.device)
        cost = torch.where(k < 0, INFINITE, INDEL * k).expand(len(source), -1)  # (B, 2 REACH + 1)
        padded = F.pad(source, (REACH, max(0, length + 1 + REACH - source.shape[1])), value=-1)
        return cls(padded, cost, torch.full((len(source),), REACH, device=source.device))

    @property
    def position(self) -> Tensor:
        """(B,) source position that the next symbol belongs to."""
        return (self.t + self.drift - REACH).clamp_min(0)

    def step(self, symbol: Tensor) -> None:
        """Append a symbol (B,) to the targets."""
        k = torch.arange(2 * REACH + 1, device=symbol.device)
        aligned = self.source[:, self.t : self.t + 2 * REACH + 1]  # (B, 2 REACH + 1) source symbols at t + k
        substituted = self.cost + SUBSTITUTION * (aligned != symbol[:, None])
        inserted = F.pad(self.cost[:, 1:], (0, 1), value=INFINITE) + INDEL
        # A deletion leads from k - 1 to k: in costs less INDEL k, any number of them is a running minimum
        best = torch.minimum(substituted, inserted) - INDEL * k
        self.cost = best.cummin(1).values + INDEL * k  # deletions: from k - 1, however often
        distance = 2 * (k - self.drift[:, None]).abs() + (k < self.drift[:, None])  # breaks ties: the least change
        self.drift = (self.cost * (8 * REACH) + distance).argmin(1)  # cost first, then distance
        self.t += 1


def align(source: Tensor, target: Tensor) -> Tensor:
    """Return (B, T): the source position that each symbol of the target (B, T) belongs to, given those before it."""
    alignment, positions = EditAlignment.start(source, target.shape[1]), []
    for t in range(target.shape[1]):
        positions.append(alignment.position)
        alignment.step(target[:, t])
    return torch.stack(positions, 1)
