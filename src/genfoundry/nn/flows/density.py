"""The log-density of a continuous flow, by the divergence of its vector field along a path.

Where dx/dt = v(x, t), log p changes by -tr(dv/dx) (Chen et al. 2018, arXiv:1806.07366, eq. 8). The trace is exact, one
backward pass a value, or Hutchinson's estimate e' (dv/dx) e for random signs e (Grathwohl et al. 2019,
arXiv:1810.01367, eq. 7), which is unbiased at any number of probes, and so is the log-density that it gives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from genfoundry.nn.flows.ode import Solver, State, integrate

Velocity: TypeAlias = Callable[[Tensor, float], Tensor]  # (x (B, D), time) -> dx/dt (B, D)


def draw_probes(x: Tensor, count: int) -> Tensor:
    """Draw (count, B, D) random signs for x (B, D): of all probes of unit variance, those of the least error."""
    return torch.randint(0, 2, (count, *x.shape), device=x.device).to(x.dtype) * 2 - 1


def unit_probes(x: Tensor) -> Tensor:
    """Return (D, B, D): the unit vectors, whose estimates add up to the exact trace of x (B, D)."""
    return torch.eye(x.shape[1], device=x.device, dtype=x.dtype)[:, None].expand(-1, len(x), -1)


def project_jacobian(velocity: Velocity, x: Tensor, time: float, probes: Tensor) -> tuple[Tensor, Tensor]:
    """Return v (B, D) and e' (dv/dx) e of each probe e, (probes, B); needs gradients, whatever mode it is called in."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        v = velocity(x, time)
        # Of a scalar: gradients with weights of their own import torch's compiler first, which takes seconds
        sums = [(v * probe).sum() for probe in probes]
        rows = [torch.autograd.grad(total, x, retain_graph=total is not sums[-1])[0] for total in sums]
    return v.detach(), torch.stack([(row * probe).sum(1) for row, probe in zip(rows, probes, strict=True)])


def trace_back(
    velocity: Velocity, x: Tensor, times: Sequence[float], solver: Solver, probes: Tensor
) -> tuple[Tensor, Tensor]:
    """Follow x (B, D) from the first of `times` to the last, which is earlier; x must be no inference tensor.

    Returns:
        The point that it comes from, (B, D), and by each probe the integral of the divergence in the direction of
        growing time, (probes, B): log p(x) is the log-density of that point less the integral.
    """

    def change(state: State, time: float) -> State:
        return project_jacobian(velocity, state[0], time, probes)

    start = (x, x.new_zeros(len(probes), len(x)))
    origin, integral = integrate(change, start, times, solver)
    return origin, -integral  # it ran against time
