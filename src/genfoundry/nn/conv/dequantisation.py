"""Uniform dequantisation of levels to [-1, 1), and its inverse (Theis et al. 2016, arXiv:1511.01844, section 3.1)."""

from __future__ import annotations

import torch
from torch import Tensor


def dequantise(x: Tensor, levels: int | None) -> Tensor:
    """Map images (B, C, H, W) of levels to float32 in [-1, 1), uniform over each level's bin, in channels-last memory.

    The noise comes from the global generator. Real values (`levels` None) stay as they are.
    """
    x = x.float().contiguous(memory_format=torch.channels_last)
    return x if levels is None else (x + torch.rand_like(x)) * (2.0 / levels) - 1.0


def centre_levels(x: Tensor, levels: int | None) -> Tensor:
    """Map levels to the middles of their bins in [-1, 1), in float32; real values stay as they are."""
    x = x.float()
    return x if levels is None else (x + 0.5) * (2.0 / levels) - 1.0


def quantise(value: Tensor, levels: int | None) -> Tensor:
    """Map [-1, 1] to int64 levels, the inverse of `dequantise`; real values stay as they are."""
    value = value.float()
    # tanh may return 1 itself, which is past the last bin
    return value if levels is None else ((value + 1.0) * (0.5 * levels)).floor().clamp(0, levels - 1).long()
