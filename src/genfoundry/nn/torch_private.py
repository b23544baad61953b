"""Undocumented functions of torch that the project uses, seen with torch 2.13.0, which is pinned.

tests/test_private_names.py checks that they behave as relied on here.
"""

from __future__ import annotations

import torch
from torch import Tensor

# The function that torch.optim.AdamW calls. The class imports torch's compiler at its first step, which takes as long
# as torch itself, and cannot skip a step with non-finite gradients without a wait for the device.
from torch.optim.adamw import adamw

__all__ = ["adamw", "standard_gamma"]


def standard_gamma(shape: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Draw from Gamma(shape, 1) for each element, as torch.distributions.Gamma does, but with a generator."""
    sample: Tensor = torch._standard_gamma(shape, generator=generator)
    return sample
