"""AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101) by torch's fused kernel.

torch.optim's class of this name computes the same, bit for bit, and imports torch's compiler at its first step, which
takes as long as torch itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import Parameter

from genfoundry.nn.torch_private import adamw

EPSILON = 1e-8


class AdamW:
    """AdamW; weight decay is for parameters of two or more dimensions alone, so that biases and gains keep their size.

    Attributes:
        parameters: matrices first, then vectors.
        state: parameter -> "step" (), "exp_avg" and "exp_avg_sq" of its shape, from its first gradient on.
    """

    def __init__(self, parameters: Sequence[Parameter], decay: float, betas: tuple[float, float]) -> None:
        matrices = [p for p in parameters if p.ndim >= 2]
        vectors = [p for p in parameters if p.ndim < 2]
        self.parameters, self.betas = [*matrices, *vectors], betas
        self.state: dict[Tensor, dict[str, Tensor]] = {}
        self._groups = ((matrices, decay), (vectors, 0.0))

    def zero_grad(self) -> None:
        """Drop the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    def gradients(self) -> list[Tensor]:
        """The gradients that there are."""
        return [p.grad for p in self.parameters if p.grad is not None]

    @torch.no_grad()
    def step(self, lr: float, scale: Tensor | None, skip: Tensor) -> None:
        """Move by the gradients over `scale` (), unless `skip` () is 1.0; both stay on the device, without a sync."""
        for group, decay in self._groups:
            moving: list[Tensor] = [p for p in group if p.grad is not None]
            self.state |= {p: _initial_state(p) for p in moving if p not in self.state}
            states = [self.state[p] for p in moving]
            if moving:
                adamw(
                    moving,
                    [p.grad for p in moving if p.grad is not None],
                    [state["exp_avg"] for state in states],
                    [state["exp_avg_sq"] for state in states],
                    [],  # of amsgrad alone
                    [state["step"] for state in states],
                    fused=True,  # unfused, sqrt differs between processors
                    grad_scale=scale,
                    found_inf=skip,
                    amsgrad=False,
                    beta1=self.betas[0],
                    beta2=self.betas[1],
                    lr=lr,
                    weight_decay=decay,
                    eps=EPSILON,
                    maximize=False,
                )


def _initial_state(parameter: Tensor) -> dict[str, Tensor]:
    step = torch.zeros((), dtype=torch.float32, device=parameter.device)  # as the fused kernel expects
    return {"step": step, "exp_avg": torch.zeros_like(parameter), "exp_avg_sq": torch.zeros_like(parameter)}
