"""K-nearest-neighbour restoration of images, by the distance over their known pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

CHOICES = (1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 50)


@dataclass(frozen=True)
class Neighbours:
    """Restores an item by the mean of its k nearest neighbours, in squared distance over the known values.

    Attributes:
        items: (N, D) float32.
        k: at most N.
    """

    items: Tensor
    k: int = 1

    def restore(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Damaged (n, D) -> restored (n, D); values where `mask` (n, D) is true stay (None: none is known)."""
        return _fill(x, mask, self.items[self._nearest(x, mask, self.k)].mean(1))

    def choose(self, clean: Tensor, x: Tensor, mask: Tensor | None, left_out: Tensor) -> Neighbours:
        """Choose the k in `CHOICES` of smallest mean log squared error, that is of highest mean PSNR.

        Args:
            clean: (n, D), some of the items.
            x: (n, D), the same damaged.
            mask: (n, D) bool, or None.
            left_out: (n, N) bool, the items that an item must not be restored from: itself, and others of its group.
        """
        most = min(CHOICES[-1], int((~left_out).sum(1).min()))
        choices = [k for k in CHOICES if k <= most]
        if not choices:
            return self
        totals = self.items[self._nearest(x, mask, most, left_out)].cumsum(1)  # (n, most, D)
        losses: Sequence[float] = [
            # Bounded below, as an exact copy has an infinite PSNR
            float((_fill(x, mask, totals[:, k - 1] / k) - clean).square().mean(1).clamp_min(1e-6).log().mean())
            for k in choices
        ]
        return Neighbours(self.items, choices[losses.index(min(losses))])

    def _nearest(self, x: Tensor, mask: Tensor | None, k: int, left_out: Tensor | None = None) -> Tensor:
        """(n, k) positions among the items, nearest first."""
        weight = torch.ones_like(x) if mask is None else mask.to(x.dtype)
        distances = weight @ self.items.square().T - 2 * (weight * x) @ self.items.T  # (n, N), less the term of x alone
        if left_out is not None:
            distances[left_out] = torch.inf  # its own group
        return distances.topk(min(k, len(self.items)), largest=False).indices


def _fill(x: Tensor, mask: Tensor | None, guess: Tensor) -> Tensor:
    return guess if mask is None else torch.where(mask, x, guess)
