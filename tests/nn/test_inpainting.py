"""Missing values by the exact posterior mean of a Gaussian's flow, where the right answers are known."""

from __future__ import annotations

import torch
from torch import Tensor

from genfoundry.nn.flows.inpainting import draw_missing, estimate_missing

CORRELATION = 0.8


def expect(x: Tensor, t: float) -> Tensor:
    """E[x1 | x_t] of pairs of standard normal values with a correlation."""
    covariance = torch.tensor([[1.0, CORRELATION], [CORRELATION, 1.0]])
    gain = t * covariance @ torch.linalg.inv(t**2 * covariance + (1 - t) ** 2 * torch.eye(2))
    return (x.flatten(1) @ gain.T).view(x.shape)


def pairs(n: int) -> tuple[Tensor, Tensor]:
    x = torch.full((n, 1, 1, 2), 1.5)
    known = torch.tensor([True, False]).expand(x.shape)
    return torch.where(known, x, 0), known


def test_the_estimate_is_the_conditional_mean() -> None:
    torch.manual_seed(0)
    x, known = pairs(500)
    made = estimate_missing(expect, x, known, 200)
    assert torch.equal(made[known], x[known])
    assert abs(float(made[~known].mean()) - CORRELATION * 1.5) < 0.05


def test_draws_have_the_conditional_mean_and_spread_the_nearer_the_more_visits() -> None:
    torch.manual_seed(0)
    x, known = pairs(4000)
    once, often = (draw_missing(expect, x, known, 50, jump=10, visits=visits) for visits in (1, 10))
    assert torch.equal(often[known], x[known])
    assert abs(float(often[~known].mean()) - CORRELATION * 1.5) < 0.15
    assert abs(float(often[~known].std()) - (1 - CORRELATION**2) ** 0.5) < 0.05
    assert float(once[~known].mean()) < float(often[~known].mean()) - 0.2
