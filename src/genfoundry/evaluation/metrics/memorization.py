"""Memorisation: how near samples come to single training items, against how near new real items come.

Distances are Euclidean over pixels in 0..1, images first averaged down to at most 16 pixels a side. A near-copy lies
at most a third as far from its nearest training item as from its second nearest (Yoon et al. 2023, "Diffusion
probabilistic models generalize when they fail to memorize"), or on one: real items hardly ever do.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE = 16  # pixels
ROWS = 256  # queries whose distances to all training items are in memory at once
CLOSE = 1 / 3  # of the second distance


@dataclass(frozen=True)
class Nearest:
    """Of n queries: distances to the nearest and second nearest training item (n,), and the nearest's index (n,)."""

    first: Tensor
    second: Tensor
    index: Tensor

    @property
    def copies(self) -> Tensor:
        """(n,) bool: near-copies of one training item."""
        return (self.first <= CLOSE * self.second) | (self.first == 0)


def small(x: Tensor, levels: int | None) -> Tensor:
    """(n, C, H, W) levels or grey values -> (n, P) float32 in 0..1 (real values stay in their own unit)."""
    x = x.float() / (1 if levels is None else levels - 1)
    factor = -(-max(x.shape[-2:]) // SIDE)
    return (F.avg_pool2d(x, factor, ceil_mode=True) if factor > 1 else x).flatten(1)


def nearest(queries: Tensor, train: Tensor) -> Nearest:
    """The nearest of `train` (N >= 2, P) to each of `queries` (n, P); both on one device."""
    centre = train.mean(0)
    train, queries = train - centre, queries - centre
    lengths = train.square().sum(1)
    found = []
    for part in torch.split(queries, ROWS):
        rough = lengths - 2 * part @ train.T  # less |query|^2, which orders nothing
        index = rough.topk(min(4, len(train)), dim=1, largest=False).indices  # rounding may swap near neighbours
        exact = (part[:, None] - train[index]).square().sum(2).sqrt()
        best = exact.topk(2, dim=1, largest=False)
        found.append((best.values, index.gather(1, best.indices[:, :1])))
    distances = torch.cat([values for values, _ in found])
    return Nearest(distances[:, 0], distances[:, 1], torch.cat([index for _, index in found])[:, 0])
