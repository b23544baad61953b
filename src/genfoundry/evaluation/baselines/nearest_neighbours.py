"""Restoring images from the training items nearest on what is known of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

CHOICES = (1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 50)


@dataclass(frozen=True)
class Neighbours:
    """The mean of the k nearest of some items, by squared distance over the known values.

    Attributes:
        items: (N, D) float32.
        k: at most N.
    """

    items: Tensor
    k: int = 1

    def restore(self, x: Tensor, known: Tensor | None) -> Tensor:
        """Damaged (n, D) -> (n, D); what is known (bool, None: nothing for certain) stays as it is."""
        return self._filled(x, known, self.items[self._nearest(x, known, self.k)].mean(1))

    def choose(self, clean: Tensor, x: Tensor, known: Tensor | None, left_out: Tensor) -> Neighbours:
        """With the k in `CHOICES` whose restorations have the smallest mean log squared error (highest mean PSNR).

        Args:
            clean: (n, D), some of the items.
            x: (n, D), the same damaged.
            known: (n, D) bool, or None.
            left_out: (n, N) bool, the items that an item must not be restored from: itself, and others of its group.
        """
        most = min(CHOICES[-1], int((~left_out).sum(1).min()))
        choices = [k for k in CHOICES if k <= most]
        if not choices:
            return self
        totals = self.items[self._nearest(x, known, most, left_out)].cumsum(1)  # (n, most, D)
        losses: Sequence[float] = [
            float((self._filled(x, known, totals[:, k - 1] / k) - clean).square().mean(1).clamp_min(1e-6).log().mean())
            for k in choices
        ]
        return Neighbours(self.items, choices[losses.index(min(losses))])

    def _filled(self, x: Tensor, known: Tensor | None, guess: Tensor) -> Tensor:
        return guess if known is None else torch.where(known, x, guess)

    def _nearest(self, x: Tensor, known: Tensor | None, k: int, left_out: Tensor | None = None) -> Tensor:
        """(n, k) positions among the items, nearest first."""
        weight = torch.ones_like(x) if known is None else known.to(x.dtype)
        gaps = weight @ self.items.square().T - 2 * (weight * x) @ self.items.T  # less the term of x alone
        if left_out is not None:
            gaps[left_out] = torch.inf
        return gaps.topk(min(k, len(self.items)), largest=False).indices
