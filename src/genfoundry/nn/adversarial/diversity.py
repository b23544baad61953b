"""How much generated items differ from each other."""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def measure_diversity(real: Tensor, fake: Tensor) -> Tensor:
    """Return the mean standard deviation of generated values over their batch, divided by that of real ones, ().

    It is 0 where all generated items are alike: the generator has collapsed.
    """
    return _mean_deviation(fake.float()) / _mean_deviation(real)


def _mean_deviation(x: Tensor) -> Tensor:
    """Mean over values of the standard deviation over items; `x.std(0)` has no vectorised kernel, and takes longer."""
    n, shifted = len(x), x - x[:1]  # near 0, so that the difference below loses nothing
    variance = (shifted.square().sum(0) - shifted.sum(0).square() / n) / max(1, n - 1)
    return variance.clamp_min(0.0).sqrt().mean()
