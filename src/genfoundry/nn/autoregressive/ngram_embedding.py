"""Hashed n-gram embeddings: the n characters before a position, hashed into tables of fixed size."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PRIME, BASE = 2**31 - 1, 1_000_003  # products of two residues fit into 63 bits


class NgramEmbedding(nn.Module):
    """x (B, T) int64 -> (B, T, width): the 1, 2, ..., `longest` values before a position, each looked up in a table.

    The row of an n-gram is a polynomial hash; n-grams that share a row share its vector (Pagnoni et al. 2024,
    arXiv:2412.09871, section 3.2.1). What counting n-grams knows is learnt at the price of a look-up.
    """

    def __init__(self, longest: int, buckets: int, size: int, width: int) -> None:
        super().__init__()
        self.longest, self.buckets = longest, buckets
        self.table = nn.Embedding(longest * buckets, size)
        nn.init.normal_(self.table.weight, std=0.5)
        self.into = nn.Linear(longest * size, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self._look_up([F.pad(x + 1, (back, 0))[:, : x.shape[1]] for back in range(1, self.longest + 1)])

    def step(self, past: Tensor) -> Tensor:
        """Return (n, 1, width) from the last `longest` values plus 1 (n, longest), 0 where there is none."""
        return self._look_up([past[:, -back, None] for back in range(1, self.longest + 1)])

    def _look_up(self, before: list[Tensor]) -> Tensor:
        """Values plus 1, (B, T) each: the last one, the one before it, ... -> (B, T, width)."""
        hashed, rows = torch.zeros_like(before[0]), []
        for order, value in enumerate(before):
            hashed = (hashed * BASE + value) % PRIME
            rows.append(hashed % self.buckets + order * self.buckets)  # a table for each n
        embedded: Tensor = self.into(self.table(torch.stack(rows, -1)).flatten(2))  # (B, T, width)
        return embedded
