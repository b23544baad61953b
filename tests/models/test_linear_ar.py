from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from genfoundry.models.linear_ar import LinearAr
from genfoundry.types import Batch, Draw, Spec, UserError


def fitted(phi: list[float], length: int = 4000) -> LinearAr:
    torch.manual_seed(0)
    x = torch.randn(length, 1, dtype=torch.float64)
    for t in range(len(phi), length):
        x[t] += 2.0 + sum(p * x[t - 1 - i] for i, p in enumerate(phi))
    model = LinearAr(Spec((3, 1), None, cond_shape=(6, 1)), LinearAr.Config(order=len(phi)))
    data: Any = SimpleNamespace(whole=x)
    model.begin("fit", data)
    return model


def test_recovers_the_coefficients() -> None:
    model = fitted([0.6, 0.2])
    assert model.phi[:, 0, 0].tolist() == pytest.approx([0.6, 0.2], abs=0.05)
    assert model.sigma.item() == pytest.approx(1.0, abs=0.05)


def test_a_window_is_a_joint_gaussian() -> None:
    """The sum of the conditional densities is the density of N(mean, L L^T sigma^2), L the impulse responses."""
    model, past = fitted([0.6, 0.2]), torch.tensor([[[5.0], [6.0], [7.0], [11.0], [9.0], [10.0]]])
    mean = model.forecast(past, 3, (0.5,))[0, 0, :, 0]
    p, q = model.phi[:, 0, 0].tolist()
    lower = torch.tensor([[1, 0, 0], [p, 1, 0], [p * p + q, p, 1]], dtype=torch.float64)
    joint = torch.distributions.MultivariateNormal(mean, scale_tril=lower * model.sigma.sqrt()[0, 0])
    x = torch.tensor([[[9.5], [9.0], [12.0]]])
    nll = model.measure(Batch(x, cond=past))["nll"]
    assert nll.item() == pytest.approx(-joint.log_prob(x[0, :, 0].double()).item(), abs=1e-9)


def test_intervals_hold_what_they_say() -> None:
    model, n = fitted([0.6, 0.2]), 20_000
    past = torch.tensor([[[5.0], [6.0], [7.0], [11.0], [9.0], [10.0]]])
    low, high = model.forecast(past, 3, (0.1, 0.9))[0]
    torch.manual_seed(2)
    drawn = model.sample(n, past.expand(n, -1, -1))
    inside = ((drawn > low) & (drawn < high)).double().mean(0).flatten()
    assert inside.tolist() == pytest.approx([0.8] * 3, abs=4 * math.sqrt(0.16 / n))


def test_temperature_zero_is_the_point_forecast() -> None:
    model, past = fitted([0.6, 0.2]), torch.randn(2, 6, 1)
    assert torch.allclose(
        model.sample(2, past, draw=Draw(temperature=0.0)), model.forecast(past, 3, (0.5,))[:, 0].float()
    )


def test_order_beyond_the_context() -> None:
    with pytest.raises(UserError, match=r"hyper.order is 7, but the data set's context is 6"):
        LinearAr(Spec((3, 1), None, cond_shape=(6, 1)), LinearAr.Config(order=7))


def test_a_series_too_short_to_fit() -> None:
    with pytest.raises(UserError, match=r"hyper.order: 4 values cannot fit an autoregression of order 2; 5 are needed"):
        fitted([0.6, 0.2], length=4)
