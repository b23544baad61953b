"""Gradient penalties: they keep a critic's slope by its input small, or near 1.

The gradient itself is differentiable, so that a penalty trains the critic. Each item's score must depend on that item
alone: a critic with batch normalisation has no gradient an item.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def squared_gradient_norm(scores: Tensor, inputs: Tensor) -> Tensor:
    """Return (B,) squared norms of the gradient of each score by its input.

    R1 of real, R2 of generated items is gamma / 2 times its mean (Mescheder et al. 2018, arXiv:1801.04406, eq. 9, 10).

    Args:
        scores: (B,), computed from `inputs`.
        inputs: (B, ...), which require a gradient.
    """
    (gradient,) = torch.autograd.grad(scores.sum(), inputs, create_graph=True)
    return gradient.float().square().flatten(1).sum(1)


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
    """Return (B,) (|gradient| - 1)^2 between real and generated items (Gulrajani 2017, arXiv:1704.00028, eq. 3).

    The gradient is taken at a point drawn uniformly on the line from each real item to a generated one.

    Args:
        critic: (B, ...) -> scores (B,).
        real: (B, ...).
        fake: (B, ...).
    """
    share = torch.rand(len(real), *[1] * (real.ndim - 1), device=real.device)
    between = torch.lerp(fake.detach().to(real), real.detach(), share).requires_grad_()  # (B, ...)
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    # Unlike sqrt, the norm has a gradient at 0, so that a critic which is flat there gives no NaN
    norm: Tensor = torch.linalg.vector_norm(gradient.float().flatten(1), dim=1)
    return (norm - 1).square()
