"""Solvers and densities against closed forms: the flow of a Gaussian to a Gaussian."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from genfoundry.nn.flows.density import draw_probes, project_jacobian, trace_back, unit_probes
from genfoundry.nn.flows.gaussian_flow import normal_log_density
from genfoundry.nn.flows.ode import Solver, State, integrate, time_grid

MEAN, STD = torch.tensor([1.5, -0.5, 0.2], dtype=torch.float64), torch.tensor([0.5, 2.0, 1.2], dtype=torch.float64)


def velocity(x: Tensor, t: float) -> Tensor:
    """E[x1 - x0 | x_t] of independent x0 ~ N(0, I) and x1 ~ N(MEAN, STD^2)."""
    spread = (1 - t) ** 2 + (t * STD) ** 2
    return MEAN + (t * STD**2 - (1 - t)) / spread * (x - t * MEAN)


def field(state: State, t: float) -> State:
    return (velocity(state[0], t),)


def error(solver: Solver, steps: int) -> float:
    x0 = torch.tensor([[0.7, -1.1, 2.0], [-0.3, 0.4, 0.0]], dtype=torch.float64)
    (x1,) = integrate(field, (x0,), time_grid(steps), solver)
    return float((x1 - (MEAN + STD * x0)).abs().max())  # the paths of one Gaussian to another never cross


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("heun", 2)])
def test_the_flow_of_gaussians_is_the_known_one_to_the_order_of_the_solver(solver: Solver, order: int) -> None:
    errors = [error(solver, steps) for steps in (40, 80, 160)]
    assert errors[-1] < (0.03 if order == 1 else 5e-4)
    for coarse, fine in itertools.pairwise(errors):
        assert math.log2(coarse / fine) == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize(("solver", "passes"), [("euler", 7), ("heun", 14)])
def test_a_solver_evaluates_the_field_as_often_as_it_says(solver: Solver, passes: int) -> None:
    calls = []

    def counted(state: State, t: float) -> State:
        calls.append(t)
        return state

    integrate(counted, (torch.ones(1),), time_grid(7, 1.0, 0.0), solver)
    assert len(calls) == passes and calls[0] == 1.0


def test_the_density_along_the_flow_is_the_exact_one_within_a_percent() -> None:
    torch.manual_seed(0)
    x = MEAN + STD * torch.randn(40, 3, dtype=torch.float64)
    exact = normal_log_density((x - MEAN) / STD) - STD.log().sum()
    for probes in (unit_probes(x), draw_probes(x, 1)):  # of a diagonal Jacobian one probe of signs is exact, too
        origin, growth = trace_back(velocity, x, time_grid(20, 1.0, 0.0), "heun", probes)
        assert torch.allclose(origin, (x - MEAN) / STD, atol=0.02)
        estimate = normal_log_density(origin) - growth.sum(0)
        assert ((estimate - exact).abs() < 0.01 * exact.abs().clamp_min(1)).all()


def test_hutchinson_is_unbiased_and_unit_vectors_are_exact() -> None:
    torch.manual_seed(1)
    network = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.Tanh(), torch.nn.Linear(16, 6)).double()
    x = torch.randn(2, 6, dtype=torch.float64)
    move = lambda points, t: network(points)  # noqa: E731
    hidden = 1 - network[:2](x).square()  # the derivative of tanh, (2, 16)
    exact = torch.einsum("bh,hi,ih->b", hidden, network[0].weight, network[2].weight)
    assert torch.allclose(project_jacobian(move, x, 0.0, unit_probes(x))[1].sum(0), exact)
    estimates = project_jacobian(move, x, 0.0, draw_probes(x, 4000))[1]  # (4000, 2)
    stderr = estimates.std(0) / math.sqrt(4000)
    assert (stderr > 0).all()
    assert ((estimates.mean(0) - exact).abs() < 4 * stderr).all()
