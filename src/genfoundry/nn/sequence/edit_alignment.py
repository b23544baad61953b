"""How far in a source a target has come: the end of the stretch of source that is nearest to what is written.

Near in edit distance, found as the target is written, a symbol after another (Wagner, Fischer 1974): so where a symbol
stands depends on the symbols before it alone. Only drifts of up to `REACH` are looked at: a symbol's cost is constant.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

REACH = 16
OTHER, APART = 2, 3  # cost of a symbol in another's place, and of one that only source or target has
FAR = 1 << 20


@dataclass
class Followed:
    """(B, 2 REACH + 1) costs after `t` symbols: of a target that ends at source position t + k, k = -REACH..REACH."""

    source: Tensor  # (B, S + ...) symbols from position -REACH on, -1 where there are none
    cost: Tensor
    drift: Tensor  # (B,) k of the cheapest, REACH added
    t: int = 0

    @classmethod
    def start(cls, source: Tensor, length: int) -> Followed:
        """Before any symbol of targets of up to `length`; `source` (B, S)."""
        k = torch.arange(-REACH, REACH + 1, device=source.device)
        cost = torch.where(k < 0, FAR, APART * k).expand(len(source), -1)
        padded = F.pad(source, (REACH, max(0, length + 1 + REACH - source.shape[1])), value=-1)
        return cls(padded, cost, torch.full((len(source),), REACH, device=source.device))

    @property
    def place(self) -> Tensor:
        """(B,) the source position that the next symbol belongs to."""
        return (self.t + self.drift - REACH).clamp_min(0)

    def step(self, symbol: Tensor) -> None:
        """Another symbol (B,) is written."""
        k = torch.arange(2 * REACH + 1, device=symbol.device)
        read = self.source[:, self.t : self.t + 2 * REACH + 1]  # at k: what source position t + k holds
        kept = self.cost + OTHER * (read != symbol[:, None])
        added = F.pad(self.cost[:, 1:], (0, 1), value=FAR) + APART
        best = torch.minimum(kept, added) - APART * k
        self.cost = best.cummin(1).values + APART * k  # left out: from k - 1, however often
        away = 2 * (k - self.drift[:, None]).abs() + (k < self.drift[:, None])  # of equally near ones the least drift
        self.drift = (self.cost * (8 * REACH) + away).argmin(1)
        self.t += 1


def places(source: Tensor, target: Tensor) -> Tensor:
    """(B, S), (B, T) -> (B, T): the source position that each symbol of a target belongs to, given those before it."""
    followed, found = Followed.start(source, target.shape[1]), []
    for t in range(target.shape[1]):
        found.append(followed.place)
        followed.step(target[:, t])
    return torch.stack(found, 1)
