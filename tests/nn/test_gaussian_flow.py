"""The closed-form flow to a Gaussian: its velocity, its coordinates, its volume."""

from __future__ import annotations

import torch
from torch import Tensor

from genfoundry.nn.flows.gaussian_flow import GaussianFlow
from genfoundry.nn.flows.ode import integrate, time_grid


def correlated(n: int) -> Tensor:
    draw = torch.Generator().manual_seed(0)
    mix = torch.randn(5, 5, generator=draw) * torch.tensor([2.0, 1.0, 0.5, 0.3, 0.3])
    return torch.randn(n, 5, generator=draw) @ mix.T + torch.arange(5.0)


def fitted(x: Tensor, components: int) -> GaussianFlow:
    torch.manual_seed(1)
    flow = GaussianFlow(x.shape[1], components)
    flow.fit(x)
    return flow


def test_its_velocity_is_the_best_linear_prediction() -> None:
    x1 = correlated(200_000)
    flow, t = fitted(x1, 5), 0.6
    x0 = torch.randn_like(x1)
    x = (1 - t) * x0 + t * x1
    centred, target = x - x.mean(0), x1 - x0
    slope = torch.linalg.lstsq(centred, target - target.mean(0)).solution
    assert torch.allclose(
        flow.velocity(x[:50], torch.full((50, 1), t)), centred[:50] @ slope + target.mean(0), atol=0.05
    )


def test_a_gaussian_is_reached_in_one_step_and_along_its_velocity() -> None:
    x1 = correlated(4000)
    flow = fitted(x1, 5)
    u = torch.randn(1000, 5)
    made = flow.locate(u, 1.0)
    (followed,) = integrate(
        lambda state, t: (flow.velocity(state[0], torch.full((1000, 1), t)),), (u,), time_grid(200), "heun"
    )
    assert torch.allclose(made, followed, atol=2e-3)
    covariance = flow.basis @ flow.variance[0].diag() @ flow.basis.T
    assert torch.allclose(covariance, torch.cov(x1.T, correction=0), atol=1e-3)
    assert torch.allclose(flow.log_volume(), torch.logdet(covariance) / 2, atol=1e-4)


def test_directions_that_are_no_components_share_a_variance() -> None:
    x1 = correlated(4000)
    flow = fitted(x1, 2)
    explained = torch.linalg.eigvalsh(torch.cov(x1.T, correction=0)).flip(0)
    assert torch.allclose(flow.variance[0], explained[:2], rtol=1e-3)
    assert torch.allclose(flow.rest, explained[2:].mean(), rtol=1e-2)
    u = torch.randn(7, 5)
    assert torch.allclose(flow.whiten(flow.locate(u, 0.3) - 0.3 * flow.mean, 0.3), u, atol=1e-5)


def test_fewer_items_than_components_leave_a_proper_gaussian() -> None:
    flow = fitted(correlated(3), 5)
    assert flow.variance.min() > 0 and flow.log_volume().isfinite()
    assert torch.equal(flow.basis[:, 2:], torch.zeros(5, 3))


def test_groups_have_means_and_variances_of_their_own() -> None:
    x1, group = correlated(4000), torch.arange(4000) % 3 - 1  # -1: of no group
    x1[group == 0] = 2 * x1[group == 0] + 1
    torch.manual_seed(0)
    flow = GaussianFlow(5, 5, groups=3)  # of which the last has no item
    flow.fit(x1, group)
    for g, rows in enumerate((x1[group == 0], x1[group == 1], x1, x1)):
        assert torch.allclose(flow.mean[g], rows.mean(0), atol=1e-5)
        spread = (rows - rows.mean(0)).square().mean(0).sum()
        assert torch.allclose(flow.variance[g].sum(), spread, rtol=0.02)
    asked = torch.tensor([0, 1, 3])
    u = torch.randn(3, 5)
    x = flow.locate(u, 0.7, asked)
    assert torch.allclose(flow.whiten(x - 0.7 * flow.mean[asked], 0.7, asked), u, atol=1e-5)
    assert torch.equal(flow.locate(u[2:], 0.7, asked[2:]), flow.locate(u[2:], 0.7)), "None: of all items"
