from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from genfoundry.errors import UserError
from genfoundry.models.bayes_ar import BayesAr
from genfoundry.models.linear_ar import LinearAr
from genfoundry.types import Batch, Draw, Spec

SPEC = Spec((3, 1), None, cond_shape=(4, 1))


def simulated(length: int, seed: int = 0) -> torch.Tensor:
    """x_t = 5 + 0.7 x_{t-1} + N(0, 2^2), from its own distribution."""
    draw = torch.Generator().manual_seed(seed)
    x = 2.0 * torch.randn(length, 1, generator=draw, dtype=torch.float64)
    x[0] = 5 / 0.3 + x[0] / math.sqrt(1 - 0.49)
    for t in range(1, length):
        x[t] += 5 + 0.7 * x[t - 1]
    return x


def fitted(x: torch.Tensor, **more: Any) -> BayesAr:
    model = BayesAr(SPEC, BayesAr.Config(**{"order": 1, **more}))
    data: Any = SimpleNamespace(whole=x)
    model.begin("fit", data)
    return model


def test_much_data_outweigh_the_prior() -> None:
    model = fitted(simulated(5000))
    assert model.mean[0, 1].item() == pytest.approx(0.7, abs=0.04)
    assert (model.rate / model.shape).sqrt().item() * model.scale.item() == pytest.approx(2.0, abs=0.1)


def test_the_bound_is_below_the_evidence() -> None:
    x = simulated(60)
    full, factors = fitted(x, order=3), fitted(x, order=3, factors="mean_field")
    assert factors.elbo < full.elbo < full.evidence == factors.evidence
    assert (full.evidence - full.elbo).item() < 0.1
    unit = fitted(x * 100, order=3)  # a unit a hundred times smaller: each density a hundred times lower
    assert (full.evidence - unit.evidence).item() == pytest.approx(57 * math.log(100), abs=1e-6)


def test_the_figure_is_a_bound_that_more_draws_tighten() -> None:
    model = fitted(simulated(30))
    x = simulated(7, seed=3)[None].float()
    batch = Batch(x[:, 4:], cond=x[:, :4])
    torch.manual_seed(0)
    nll, tight = model.measure(batch)["nll"].item(), model.bound(batch, 50_000).item()
    assert tight < nll
    grid = []  # the mean density over many draws, one step after the other by hand
    torch.manual_seed(1)
    paths = model.sample(200_000, x[:, :4].expand(200_000, -1, -1))[:, 0, 0].double()
    kernel = torch.exp(-0.5 * ((x[0, 4, 0] - paths) / 0.1).square()) / (0.1 * math.sqrt(2 * math.pi))
    grid.append(-kernel.mean().log().item())
    first = Batch(x[:, 4:5], cond=x[:, :4])
    assert model.bound(first, 50_000).item() == pytest.approx(grid[0], abs=0.05)


def test_intervals_hold_what_they_say_on_short_series() -> None:
    """90% intervals one to three steps after 40 values; the likeliest parameters' hold less and are narrower."""
    runs, inside, width = 120, torch.zeros(2, 3), torch.zeros(2, 3)
    for seed in range(runs):
        x = simulated(43, seed)
        plain = LinearAr(SPEC, LinearAr.Config(order=1))
        data: Any = SimpleNamespace(whole=x[:40])
        plain.begin("fit", data)
        for k, model in enumerate((fitted(x[:40]), plain)):
            low, high = model.forecast(x[None, 36:40].float(), 3, (0.05, 0.95))[0]
            inside[k] += ((low < x[40:]) & (x[40:] < high))[:, 0]
            width[k] += (high - low)[:, 0]
    assert (inside[0] / runs).tolist() == pytest.approx([0.9] * 3, abs=0.06)
    assert (inside[0] >= inside[1]).all()
    assert (width[0] > width[1]).all()


def test_samples_have_the_forecasts_quantiles() -> None:
    model, past, n = fitted(simulated(20)), torch.full((1, 4, 1), 12.0), 50_000
    low, high = model.forecast(past, 3, (0.1, 0.9))[0]
    torch.manual_seed(2)
    drawn = model.sample(n, past.expand(n, -1, -1))
    inside = ((drawn > low) & (drawn < high)).double().mean(0).flatten()
    assert inside.tolist() == pytest.approx([0.8] * 3, abs=0.02)  # 256 draws of q
    still = model.sample(2, past.expand(2, -1, -1), draw=Draw(temperature=0.0))
    assert torch.equal(still[0], still[1])


def test_what_it_cannot_fit() -> None:
    with pytest.raises(UserError, match=r"hyper.order: expected at most the data set's context, 4 values, got 7"):
        BayesAr(SPEC, BayesAr.Config(order=7))
    x = simulated(30)
    x[5] = math.nan
    with pytest.raises(UserError, match="missing values; set missing: forward"):
        fitted(x)
    with pytest.raises(UserError, match="2 values cannot fit an autoregression of order 2"):
        fitted(simulated(2), order=2)
