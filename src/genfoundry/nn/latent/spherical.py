"""Spherical interpolation of Gaussian codes, whose mass is on a shell that straight lines leave (White 2016)."""

from __future__ import annotations

import torch
from torch import Tensor

PARALLEL = 0.9999  # of a cosine: parallel codes have an angle of 0, by whose sine is divided


def slerp(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    """Interpolate codes a and b (..., K) at shares (..., 1) of the angle between them; 0 gives a, 1 gives b."""
    cosine = torch.cosine_similarity(a, b, dim=-1).clamp(-PARALLEL, PARALLEL)
    angle = torch.arccos(cosine)[..., None]
    return (torch.sin((1 - share) * angle) * a + torch.sin(share * angle) * b) / torch.sin(angle)
