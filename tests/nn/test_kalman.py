"""Series with missing values: the filter, the marginal likelihood and its maximum, each against another way."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from statsmodels.tsa.statespace.sarimax import SARIMAX
from test_var import sunspots

from genfoundry.nn.timeseries import em_missing, kalman
from genfoundry.nn.timeseries.kalman import Belief
from genfoundry.nn.timeseries.least_squares import Fit, deterministic_terms
from genfoundry.nn.timeseries.var import (
    cholesky_root,
    extrapolate,
    forecast_covariances,
    impulse_response,
    log_density,
    predict_one_step,
)
from genfoundry.nn.timeseries.var import fit_least_squares as complete

NAN = float("nan")


def gappy(share: float = 0.2, first: int = 10) -> torch.Tensor:
    x = sunspots()
    draw = torch.Generator().manual_seed(0)
    x[first:][torch.rand(len(x) - first, 1, generator=draw) < share] = NAN
    return x


def model(columns: int = 2) -> Fit:
    phi = torch.tensor([[[0.5, 0.2], [-0.3, 0.4]], [[0.2, -0.1], [0.1, 0.1]]], dtype=torch.float64)[
        :, :columns, :columns
    ]
    sigma = torch.tensor([[1.0, 0.6], [0.6, 2.0]], dtype=torch.float64)[:columns, :columns]
    return Fit(torch.tensor([[1.0], [-2.0]], dtype=torch.float64)[:columns], phi, sigma)


def test_the_filter_is_that_of_statsmodels() -> None:
    x, fit = gappy(first=0), complete(sunspots(), 3)
    theirs = SARIMAX(x[:, 0].numpy(), order=(3, 0, 0), trend="c")
    step, spread = kalman.companion_matrix(fit.phi), torch.zeros(3, 3, dtype=torch.float64)
    spread[0, 0] = fit.sigma.item()
    covariance = torch.linalg.solve(torch.eye(9) - torch.kron(step, step), spread.flatten()).view(3, 3)
    mean = (fit.gamma[0, 0] / (1 - fit.phi.sum())).expand(1, 3)
    density, _ = kalman.filter_series(
        x[None], fit.gamma.expand(1, 309, 1), fit.phi, fit.sigma, Belief(mean, covariance[None])
    )
    parameters = [fit.gamma.item(), *fit.phi.flatten().tolist(), fit.sigma.item()]
    assert density.sum().item() == pytest.approx(theirs.loglike(parameters), rel=1e-10)


def test_without_gaps_the_filter_is_the_conditional_likelihood() -> None:
    fit, steps = model(), 6
    torch.manual_seed(0)
    x = torch.randn(4, 10 + steps, 2, dtype=torch.float64).cumsum(1)
    offset = fit.gamma.mT[None].expand(1, 10 + steps, 2)
    density, _ = kalman.filter_series(x, offset, fit.phi, fit.sigma, kalman.diffuse_prior(x[:, :10], 2, fit.sigma))
    error = x[:, 10:] - predict_one_step(x, offset[:, 10:], fit.phi)
    assert torch.allclose(density[:, 10:], log_density(error, cholesky_root(fit.sigma)), atol=1e-9)


def test_what_is_seen_has_the_joint_density_of_what_is_seen() -> None:
    """After a known past a window is jointly Gaussian; leaving values out leaves rows and columns out."""
    fit, steps = model(), 5
    past = torch.tensor([[[1.0, 2.0], [0.0, -1.0], [2.0, 1.0]]], dtype=torch.float64)
    offset = fit.gamma.mT[None].expand(1, 3 + steps, 2)
    mean = extrapolate(past, offset[:, 3:], fit.phi).flatten()
    psi = impulse_response(fit.phi, steps)
    blocks = [torch.cat([psi[t - s] if s <= t else 0 * psi[0] for s in range(steps)], 1) for t in range(steps)]
    lower = torch.cat(blocks) @ torch.kron(torch.eye(steps, dtype=torch.float64), cholesky_root(fit.sigma))
    torch.manual_seed(0)
    x = mean + lower @ torch.randn(2 * steps, dtype=torch.float64)
    there = torch.tensor([1, 0, 0, 1, 0, 0, 1, 1, 0, 1], dtype=torch.bool)
    joint = torch.distributions.MultivariateNormal(mean[there], (lower @ lower.T)[there][:, there])
    rows = torch.cat([past, torch.where(there, x, NAN).view(1, steps, 2)], 1)
    density, _ = kalman.filter_series(rows, offset, fit.phi, fit.sigma, kalman.diffuse_prior(past, 2, fit.sigma))
    assert density[0, 3:].sum().item() == pytest.approx(joint.log_prob(x[there]).item(), abs=1e-8)


def test_forecasts_without_a_gap_are_those_of_the_recursion() -> None:
    fit = model()
    torch.manual_seed(0)
    past = torch.randn(3, 8, 2, dtype=torch.float64)
    offset = fit.gamma.mT[None].expand(1, 8, 2)
    start = kalman.diffuse_prior(past, 2, fit.sigma)
    mean, deviation = kalman.forecast_state(
        kalman.filter_series(past, offset, fit.phi, fit.sigma, start)[1], offset[:, :6], fit.phi, fit.sigma
    )
    assert torch.allclose(mean, extrapolate(past, offset[:, :6], fit.phi))
    assert torch.allclose(deviation[1], forecast_covariances(fit.phi, fit.sigma, 6).diagonal(dim1=1, dim2=2).sqrt())


def test_the_likelihood_over_gaps_is_the_filters() -> None:
    x, fit = gappy(), complete(sunspots(), 3)
    known = deterministic_terms(torch.arange(309), "c", 0)
    _, found, evidence = em_missing.compute_expectation(x, fit, known)
    start = Belief(x[:3].flip(0).reshape(1, 3), torch.zeros(1, 3, 3, dtype=torch.float64))
    density, _ = kalman.filter_series(x[None, 3:], (known @ fit.gamma.mT)[None, 3:], fit.phi, fit.sigma, start)
    assert evidence == pytest.approx(density.sum().item(), rel=1e-12)
    assert sum(len(gap.row) for gap in found) == int(x.isnan().sum())


@pytest.mark.parametrize("joint", [False, True])
def test_the_fit_over_gaps_is_the_maximum(joint: bool) -> None:
    """No step in any parameter's direction makes what is seen likelier, and the slope there is 0."""
    torch.manual_seed(1)
    fit = model()
    noise = torch.randn(1, 300, 2, dtype=torch.float64) @ cholesky_root(fit.sigma).mT
    x = extrapolate(torch.zeros(1, 2, 2, dtype=torch.float64), fit.gamma.mT[None].expand(1, 300, 2), fit.phi, noise)[0]
    x[5:][torch.rand(295, 2) < 0.15] = NAN
    best, _, _ = em_missing.fit_em(x, 2, joint=joint)
    known = deterministic_terms(torch.arange(300), "c", 0)
    evidence = em_missing.compute_expectation(x, best, known)[2]
    places = [(0, (0, 0)), (0, (1, 0)), (1, (0, 0, 0)), (1, (1, 1, 1))]
    places += [(1, (0, 0, 1)), (1, (1, 1, 0))] if joint else []
    for which, place in places:
        changes = []
        for sign in (-1, 1):
            other = [part.clone() for part in best]
            other[which][place] += sign * 1e-3
            changes.append(em_missing.compute_expectation(x, Fit(*other), known)[2] - evidence)
        assert max(changes) < 0
        assert abs(changes[1] - changes[0]) < 0.05 * abs(changes[0] + changes[1])


def test_few_gaps_change_little_and_none_nothing() -> None:
    x = sunspots()
    whole, same = complete(x, 4), em_missing.fit_em(x, 4)[0]
    assert all(torch.allclose(a, b, rtol=1e-8) for a, b in zip(whole, same, strict=True))
    x[[50, 51, 200]] = NAN
    few = em_missing.fit_em(x, 4)[0]
    assert torch.allclose(few.phi, whole.phi, atol=0.05)
    assert not torch.allclose(few.phi, whole.phi, atol=1e-4)


def test_no_rows_without_a_gap() -> None:
    x = sunspots()
    x[::3] = NAN
    with pytest.raises(ValueError, match="expected 3 complete rows in succession, got none"):
        em_missing.fit_em(x, 3)
    assert math.isfinite(em_missing.fit_em(x, 2)[0].sigma.item())
    assert np.isfinite(em_missing.fit_em(x, 0)[0].gamma.item())
