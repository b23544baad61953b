"""What the project uses of torch that torch's documentation does not name. Seen with torch 2.13.0, which is pinned.

tests/test_private_names.py holds each to what is relied on here.
"""

from __future__ import annotations

import torch
from torch import Tensor

# The function that torch.optim.AdamW calls. The class imports torch's compiler at its first step (as long as all of
# torch), and none of its arguments leaves out a step whose gradients are not finite without a wait for the device.
from torch.optim.adamw import adamw

__all__ = ["adamw", "standard_gamma"]


def standard_gamma(shape: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """A draw of Gamma(shape, 1) for each element. torch.distributions.Gamma draws alike, but takes no generator."""
    drawn: Tensor = torch._standard_gamma(shape, generator=generator)
    return drawn
