from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from statsmodels.tsa.ar_model import AutoReg
from statsmodels.tsa.vector_ar.var_model import VAR

from genfoundry.errors import UserError
from genfoundry.models.linear_ar import LinearAr
from genfoundry.types import Batch, Draw, Spec


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
    assert torch.allclose(model.sample(2, past, draw=Draw(temperature=0.0)), model.forecast(past, 3, (0.5,))[:, 0])


def test_order_beyond_the_context() -> None:
    with pytest.raises(UserError, match=r"hyper.order: expected at most the data set's context, 6 values, got 7"):
        LinearAr(Spec((3, 1), None, cond_shape=(6, 1)), LinearAr.Config(order=7))


def test_a_series_too_short_to_fit() -> None:
    with pytest.raises(UserError, match=r"hyper.order: 4 values cannot fit an autoregression of order 2; 5 are needed"):
        fitted([0.6, 0.2], length=4)


COUNTED = Spec((4, 1), None, cond_shape=(6, 2))


def counted(model: Any, x: torch.Tensor, starts: list[int]) -> Batch:
    """Windows of a series with the past's rows numbered."""
    rows = torch.cat([x, torch.arange(len(x))[:, None].double()], 1)
    past = torch.stack([rows[at - 6 : at] for at in starts])
    return Batch(torch.stack([x[at : at + 4] for at in starts]).float(), cond=past.float())


def begun(spec: Spec, x: torch.Tensor, **hyper: Any) -> LinearAr:
    model = LinearAr(spec, LinearAr.Config(**hyper))
    data: Any = SimpleNamespace(whole=x)
    model.begin("fit", data)
    return model


@pytest.mark.parametrize("phi", [[0.7], [1.2, -0.5]])
def test_simulated_coefficients_are_recovered(phi: list[float]) -> None:
    """Within four standard errors, sqrt(diag(Gamma^-1) sigma^2 / n), of what the series was made with; BIC finds p."""
    model = fitted(phi, 8000)
    first, second = [*phi, 0.0][:2]
    error = math.sqrt((1 - second**2 if len(phi) == 2 else 1 - first**2) / 8000)
    assert model.phi[:, 0, 0].tolist() == pytest.approx(phi, abs=4 * error)
    torch.manual_seed(0)
    x = torch.randn(8000, 1, dtype=torch.float64)
    for t in range(len(phi), 8000):
        x[t] += sum(p * x[t - 1 - i] for i, p in enumerate(phi))
    chosen = begun(Spec((3, 1), None, cond_shape=(6, 1)), x, order="bic", most=6)
    assert chosen.order.item() == len(phi)
    assert not chosen.phi[len(phi) :].any()


def test_forecasts_of_trend_and_season_are_those_of_statsmodels() -> None:
    t = torch.arange(120, dtype=torch.float64)
    torch.manual_seed(0)
    x = (0.3 * t + 5 * torch.sin(t * math.pi / 2) + torch.randn(120, dtype=torch.float64))[:, None]
    model = begun(COUNTED, x[:100], order=2, trend="ct", season=4)
    theirs = AutoReg(x[:100, 0].numpy(), 2, trend="ct", seasonal=True, period=4).fit()
    batch = counted(model, x, [100, 40])
    assert batch.cond is not None
    ahead = model.forecast(batch.cond.double(), 4, (0.05, 0.5, 0.95))
    said = theirs.get_prediction(100, 103)
    assert ahead[0, 1, :, 0].tolist() == pytest.approx(list(said.predicted_mean), abs=1e-4)  # the past is float32
    # Their sigma2 is that of the maximum likelihood, as ours is.
    low, high = said.conf_int(alpha=0.1).T
    assert (ahead[0, 2] - ahead[0, 0])[:, 0].tolist() == pytest.approx(list(high - low), rel=1e-6)
    fitted_again = theirs.get_prediction(40, 43, dynamic=0).predicted_mean
    assert ahead[1, 1, :, 0].tolist() == pytest.approx(list(fitted_again), abs=1e-4)


def test_a_vector_autoregression_forecasts_with_the_intervals_of_statsmodels() -> None:
    torch.manual_seed(0)
    x = torch.randn(200, 2, dtype=torch.float64) @ torch.tensor([[1.0, 0.7], [0.0, 0.5]]).double()
    for at in range(1, 200):
        x[at] += torch.tensor([[0.5, 0.3], [-0.2, 0.6]]).double() @ x[at - 1]
    model = begun(Spec((5, 2), None, cond_shape=(3, 2)), x, order=2, joint=True)
    theirs = VAR(x.numpy()).fit(2)
    mean, low, high = theirs.forecast_interval(x.numpy()[-2:], 5, alpha=0.1)
    ahead = model.forecast(x[None, -3:], 5, (0.05, 0.5, 0.95))[0].numpy()
    assert ahead[1] == pytest.approx(mean, abs=1e-8)
    unbiased = math.sqrt(theirs.df_resid / theirs.nobs)  # theirs divides the squares by degrees of freedom
    assert ahead[2] - ahead[0] == pytest.approx((high - low) * unbiased, rel=1e-8)
    torch.manual_seed(1)
    drawn = model.sample(20_000, x[None, -3:].expand(20_000, -1, -1)).double()
    last = drawn[:, -1] - drawn[:, -1].mean(0)
    exact = theirs.mse(5)[-1] * unbiased**2
    assert (last.T @ last / 20_000).numpy() == pytest.approx(exact, abs=5 * exact.max() / math.sqrt(10_000))


def test_gaps_widen_forecasts_and_what_is_missing_costs_nothing() -> None:
    model = fitted([0.6, 0.2])
    past = torch.tensor([[[5.0], [6.0], [7.0], [11.0], [9.0], [10.0]]])
    x = torch.tensor([[[9.5], [9.0], [12.0]]])
    hole, other = past.clone(), past.clone()
    hole[0, -1] = math.nan
    other[0, 0] = math.nan  # beyond the order: as if nothing were missing
    width = [
        (band[0, 1] - band[0, 0])[:, 0] for band in (model.forecast(p, 3, (0.1, 0.9)) for p in (past, other, hole))
    ]
    assert torch.allclose(width[0], width[1])
    assert (width[2] > width[0] + 0.1).all()
    nll = [model.measure(Batch(x, cond=p))["nll"].item() for p in (past, other)]
    assert nll[0] == pytest.approx(nll[1], abs=1e-9)
    only = torch.where(torch.tensor([[[True], [False], [False]]]), x, math.nan)
    single = LinearAr(Spec((1, 1), None, cond_shape=(6, 1)), model.config)
    single.load_state_dict(model.state_dict())
    assert model.measure(Batch(only, cond=past))["nll"].item() == pytest.approx(
        single.measure(Batch(x[:, :1], cond=past))["nll"].item(), abs=1e-9
    )
    nothing = torch.full_like(x, math.nan)
    assert model.measure(Batch(nothing, cond=hole))["nll"].item() == 0
    torch.manual_seed(0)
    drawn = model.sample(20_000, hole.expand(20_000, -1, -1))
    low, high = model.forecast(hole, 3, (0.1, 0.9))[0]
    inside = ((drawn > low) & (drawn < high)).double().mean(0).flatten()
    assert inside.tolist() == pytest.approx([0.8] * 3, abs=0.015)


def test_trends_need_the_rows_numbers() -> None:
    with pytest.raises(UserError, match=r"hyper.trend, hyper.season: expected numbered: true in the data"):
        LinearAr(Spec((3, 1), None, cond_shape=(6, 1)), LinearAr.Config(trend="ct"))
    with pytest.raises(UserError, match=r"hyper.most: expected at most the data set's context, 6 values, got 12"):
        LinearAr(Spec((3, 1), None, cond_shape=(6, 1)), LinearAr.Config(order="aic"))
