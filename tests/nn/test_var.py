from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import statsmodels
import torch
from statsmodels.tsa.ar_model import AutoReg
from statsmodels.tsa.vector_ar.var_model import VAR

from genfoundry.nn.timeseries.least_squares import (
    cross_moments,
    design_matrix,
    deterministic_terms,
    is_well_conditioned,
)
from genfoundry.nn.timeseries.var import (
    cholesky_root,
    extrapolate,
    fit_least_squares,
    forecast_covariances,
    impulse_response,
    log_density,
    predict_one_step,
    standardize,
)


def table(name: str) -> np.ndarray:
    """Rows of a series of the installed package, NaN where there is none."""
    path = Path(statsmodels.__file__).parent / f"datasets/{name}/{name}.csv"
    return np.genfromtxt(path.read_text().replace('"', "").splitlines()[1:], delimiter=",")


def sunspots() -> torch.Tensor:
    """(309, 1): the yearly numbers, 1700 to 2008."""
    return torch.from_numpy(table("sunspots")[:, 1:])


def test_reference_of_order_nine() -> None:
    x = sunspots()
    gamma, phi, sigma = fit_least_squares(x, 9)
    assert gamma.item() == pytest.approx(6.7430535917, abs=1e-8)
    reference = [
        1.1649421971, -0.4053574226, -0.1665393425, 0.1498062942, -0.0946241706,
        0.0049100124, 0.0504665931, -0.0863534919, 0.2534910319,
    ]  # fmt: skip
    assert phi[:, 0, 0].tolist() == pytest.approx(reference, abs=1e-8)
    assert math.sqrt(sigma.item() * 300 / 290) == pytest.approx(15.1279294937, abs=1e-8)
    error = x[None, 9:] - predict_one_step(x[None], gamma.expand(1, 300, 1), phi)
    assert error.square().mean().item() == pytest.approx(sigma.item(), rel=1e-12)
    assert -150 * (math.log(2 * math.pi * sigma.item()) + 1) == pytest.approx(-1235.559128, abs=1e-6)


def test_a_large_offset_costs_no_digits() -> None:
    x = sunspots()
    _, phi, sigma = fit_least_squares(x, 9)
    _, moved, same = fit_least_squares(x * 1e-3 + 1e6, 9)
    assert torch.allclose(moved, phi, atol=1e-5)  # the input itself keeps 1e-10 of 1e-2
    assert same.item() == pytest.approx(sigma.item() * 1e-6, rel=1e-6)


def test_collinear_lags_get_the_least_norm() -> None:
    t = torch.arange(200, dtype=torch.float64)
    wave = torch.sin(2 * math.pi * t / 8)[:, None]  # obeys an AR(2): six of eight lags are superfluous
    gamma, phi, sigma = fit_least_squares(wave, 8)
    assert sigma.item() < 1e-25
    assert phi.abs().max() < 1
    ahead = extrapolate(wave[None, :20], gamma.expand(1, 16, 1), phi)
    assert torch.allclose(ahead[0], wave[20:36], atol=1e-10)
    gamma, phi, sigma = fit_least_squares(torch.full((50, 1), 4.0), 3)
    assert (gamma.item(), phi.abs().max().item(), sigma.item()) == (4.0, 0.0, 0.0)


@pytest.mark.parametrize("ratio", [1.0, 1e-2, 1e-4, 1e-6])
def test_ill_conditioned_lags_cost_no_digits(ratio: float) -> None:
    """A wave with ever less noise: the condition of the lags grows to 1e9, normal equations' to its square.

    Residuals are orthogonal to the lags as far as the values have digits, and as small as statsmodels' are.
    """
    draw = np.random.default_rng(0)
    x = torch.from_numpy(np.sin(np.arange(600) / 30) + ratio * draw.normal(size=600).cumsum() / 20)[:, None]
    gamma, phi, sigma = fit_least_squares(x, 12)
    error = x[12:] - predict_one_step(x[None], gamma.expand(1, 588, 1), phi)[0]
    w = design_matrix(x, 12, torch.ones(600, 1, dtype=torch.float64))
    assert (w[:, :-1].T @ error).abs().max() < 1e-13 * w.square().sum() + 1e-12 * error.abs().sum()
    assert sigma.item() < AutoReg(x[:, 0].numpy(), 12).fit().sigma2 * (1 + 1e-8)
    well = is_well_conditioned(cross_moments(standardize(x, "c")[0], 12, True))
    assert well == (ratio == 1.0)


def test_columns_are_fitted_apart() -> None:
    torch.manual_seed(0)
    x = torch.randn(80, 2, dtype=torch.float64).cumsum(0)
    both = fit_least_squares(x, 3)
    for d in range(2):
        alone = fit_least_squares(x[:, d : d + 1], 3)
        assert torch.allclose(both.gamma[d], alone.gamma[0])
        assert torch.allclose(both.phi[:, d, d], alone.phi[:, 0, 0])
        assert torch.allclose(both.sigma[d, d], alone.sigma[0, 0])
    assert not both.phi[:, 0, 1].any()
    assert not both.sigma[0, 1]


@pytest.mark.parametrize("columns", [1, 3])
def test_moments_are_those_of_the_lagged_values(columns: int) -> None:
    torch.manual_seed(0)
    for order, length in ((0, 9), (1, 9), (5, 40), (5, 43), (7, 15)):
        x = torch.randn(length, columns, dtype=torch.float64)
        for constant in (True, False):
            w = design_matrix(x, order, torch.ones(length, int(constant), dtype=torch.float64))
            assert torch.allclose(cross_moments(x, order, constant), w.T @ w)


@pytest.mark.parametrize("trend", ["n", "c", "t", "ct"])
@pytest.mark.parametrize("season", [0, 12])
def test_trends_and_seasons_are_those_of_statsmodels(trend: Any, season: int) -> None:
    x = table("elnino")[:, 1:].ravel()
    ours = fit_least_squares(torch.from_numpy(x)[:, None], 5, trend, season)
    theirs = AutoReg(x, 5, trend=trend, seasonal=season > 0, period=season or None).fit()
    assert np.r_[ours.gamma[0].numpy(), ours.phi[:, 0, 0].numpy()] == pytest.approx(theirs.params, abs=1e-8)
    assert ours.sigma.item() == pytest.approx(theirs.sigma2, rel=1e-10)


@pytest.mark.parametrize("trend", ["n", "c", "ct"])
def test_a_joint_fit_is_the_vector_autoregression_of_statsmodels(trend: Any) -> None:
    x = table("macrodata")[:, [12, 10, 9]]  # inflation, unemployment, interest
    ours, theirs = fit_least_squares(torch.from_numpy(x), 4, trend, joint=True), VAR(x).fit(4, trend=trend)
    assert ours.phi.numpy() == pytest.approx(theirs.coefs, abs=1e-8)
    if trend != "n":
        assert ours.gamma.numpy() == pytest.approx(theirs.params[: len(trend)].T, abs=1e-8)
    assert ours.sigma.numpy() == pytest.approx(theirs.sigma_u_mle, rel=1e-8)
    known = deterministic_terms(torch.arange(4, len(x)), trend, 0) @ ours.gamma.mT
    error = torch.from_numpy(x)[None, 4:] - predict_one_step(torch.from_numpy(x)[None], known[None], ours.phi)
    assert log_density(error, cholesky_root(ours.sigma)).sum().item() == pytest.approx(theirs.llf, rel=1e-10)
    assert impulse_response(ours.phi, 9).numpy() == pytest.approx(theirs.ma_rep(8), abs=1e-8)
    assert forecast_covariances(ours.phi, ours.sigma, 8).numpy() == pytest.approx(
        theirs.mse(8) * (theirs.df_resid / theirs.nobs), rel=1e-8
    )
    row = deterministic_terms(len(x) + torch.arange(8), trend, 0) @ ours.gamma.mT
    ahead = extrapolate(torch.from_numpy(x)[None], row[None], ours.phi)[0].numpy()
    assert ahead == pytest.approx(theirs.forecast(x, 8), abs=1e-8)


def test_too_short_a_series() -> None:
    with pytest.raises(ValueError, match="9 are needed"):
        fit_least_squares(torch.zeros(7, 1), 4)


def test_impulse_and_covariances() -> None:
    phi = torch.tensor([[[0.8, 0.0], [0.0, 0.5]]], dtype=torch.float64)
    sigma = torch.tensor([4.0, 1.0], dtype=torch.float64).diag()
    assert torch.allclose(impulse_response(phi, 4)[3], phi[0] @ phi[0] @ phi[0])
    variance = 4.0 * (1 - 0.64**5) / (1 - 0.64)  # of an AR(1), five steps ahead
    assert forecast_covariances(phi, sigma, 5)[4, 0, 0].item() == pytest.approx(variance, rel=1e-12)


def test_a_singular_covariance_has_a_root() -> None:
    sigma = torch.tensor([[1.0, 1.0], [1.0, 1.0]], dtype=torch.float64)
    assert torch.allclose(cholesky_root(sigma) @ cholesky_root(sigma).mT, sigma, atol=1e-7)
    assert cholesky_root(torch.zeros(2, 2, dtype=torch.float64)).isfinite().all()
