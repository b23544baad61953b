"""Embeddings of the n characters before a place, hashed into tables of fixed size."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PRIME, BASE = 2**31 - 1, 1_000_003  # products of two residues fit into 63 bits


class Grams(nn.Module):
    """x (B, T) int64 -> (B, T, width): what the 1, 2, ..., `longest` values before a place say, each from a table.

    A gram's row is a polynomial hash, and grams that share one add up (Pagnoni et al. 2024, arXiv:2412.09871, section
    3.2.1): what counting n-grams knows is learnt at the price of a look-up.
    """

    def __init__(self, longest: int, buckets: int, size: int, width: int) -> None:
        super().__init__()
        self.longest, self.buckets = longest, buckets
        self.table = nn.Embedding(longest * buckets, size)
        nn.init.normal_(self.table.weight, std=0.5)
        self.into = nn.Linear(longest * size, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.read([F.pad(x + 1, (back, 0))[:, : x.shape[1]] for back in range(1, self.longest + 1)])

    def at(self, past: Tensor) -> Tensor:
        """(n, 1, width) from the last `longest` values plus 1 (n, longest), 0 where there is none."""
        return self.read([past[:, -back, None] for back in range(1, self.longest + 1)])

    def read(self, before: list[Tensor]) -> Tensor:
        """Values plus 1, (B, T) each: the last, the one before it, ... -> (B, T, width)."""
        hashed, rows = torch.zeros_like(before[0]), []
        for order, value in enumerate(before):
            hashed = (hashed * BASE + value) % PRIME
            rows.append(hashed % self.buckets + order * self.buckets)
        found: Tensor = self.into(self.table(torch.stack(rows, -1)).flatten(2))
        return found
