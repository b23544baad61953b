"""Pairing of noise and items of a batch by optimal transport (Pooladian et al. 2023; Tong et al. 2024).

Straight paths between items and the noise nearest to them cross less, so that fewer steps follow them
(arXiv:2304.14772, arXiv:2302.00482). Items of a class are paired with each other's noise alone: otherwise noise would
say something of the class, which it does not when samples are drawn (Cheng and Schwing 2025, arXiv:2503.10636).
"""

from __future__ import annotations

import torch
from torch import Tensor


def pair_optimally(noise: Tensor, x: Tensor, label: Tensor | None = None) -> Tensor:
    """Reorder noise (B, ...) such that the sum of squared distances to x (B, ...) is the least; waits for the device.

    With labels (B,), noise is exchanged among equal labels alone.
    """
    from scipy.optimize import linear_sum_assignment

    a, b = noise.flatten(1).float(), x.flatten(1).float()
    # |a|^2 + |b|^2 adds the same to every assignment
    cost = -2 * (b @ a.T)  # (B items, B noises)
    if label is not None:
        forbidden = 4 * cost.abs().amax() * len(x) + 1  # more than any assignment costs
        cost = torch.where(label[:, None] == label, cost, forbidden)
    _, columns = linear_sum_assignment(cost.cpu().double().numpy())
    return noise[torch.from_numpy(columns).to(noise.device)]
