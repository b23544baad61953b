"""Bayesian regression: the bound against the exact evidence, that against a t, intervals against the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from genfoundry.nn.timeseries import bayes_regression
from genfoundry.nn.timeseries.bayes_regression import Posterior, Prior

PRIOR = Prior(torch.tensor([1.0, 4.0, 0.25], dtype=torch.float64), 2.0, 1.5)


def problem(count: int = 30) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    w = torch.randn(count, 3, dtype=torch.float64) @ torch.tensor([[1, 0.8, 0], [0, 0.6, 0.3], [0, 0, 1.0]]).double()
    return w, w @ torch.tensor([0.5, -0.2, 1.0]).double() + 0.7 * torch.randn(count, dtype=torch.float64)


def test_the_evidence_is_the_multivariate_t() -> None:
    w, y = problem()
    spread = (torch.eye(30) + w @ (1 / PRIOR.precision).diag() @ w.T) * PRIOR.rate / PRIOR.shape
    exact = stats.multivariate_t(np.zeros(30), spread.numpy(), df=2 * PRIOR.shape).logpdf(y.numpy())
    assert bayes_regression.log_evidence(w, y, PRIOR).item() == pytest.approx(float(exact), abs=1e-9)


def test_the_bound_is_below_the_evidence_and_factors_cost_more() -> None:
    w, y = problem()
    exact = bayes_regression.log_evidence(w, y, PRIOR).item()
    full, factors = (bayes_regression.fit_variational(w, y, PRIOR, how) for how in ("full", "mean_field"))
    bounds = [bayes_regression.lower_bound(w, y, PRIOR, q).item() for q in (factors, full)]
    assert bounds[0] < bounds[1] < exact
    assert exact - bounds[1] < 0.1
    correlation = torch.linalg.inv(full.covariance)
    cost = 0.5 * (correlation.diagonal().log().sum() - torch.linalg.slogdet(correlation).logabsdet).item()
    assert bounds[1] - bounds[0] == pytest.approx(cost, abs=1e-9)  # what independence costs, and nothing else


def test_the_bound_is_the_evidence_less_the_divergence() -> None:
    """E_q[log p(y, beta, s) - log q] over draws of q is the bound; the mean of the ratio is the evidence."""
    w, y = problem()
    q = bayes_regression.fit_variational(w, y, PRIOR)
    torch.manual_seed(1)
    beta, s = bayes_regression.sample_posterior(q, 50_000)
    normal = torch.distributions.Normal
    joint = normal(0.0, s.sqrt()[:, None]).log_prob(y - beta @ w.T).sum(1)
    joint += normal(0.0, (s[:, None] / PRIOR.precision).sqrt()).log_prob(beta).sum(1)
    joint += torch.distributions.InverseGamma(PRIOR.shape, PRIOR.rate).log_prob(s)
    own = torch.distributions.MultivariateNormal(q.mean, q.covariance).log_prob(beta)
    own += torch.distributions.InverseGamma(q.shape, q.rate).log_prob(s)
    ratio = joint - own
    error = 4 * ratio.std().item() / math.sqrt(len(ratio))
    assert ratio.mean().item() == pytest.approx(bayes_regression.lower_bound(w, y, PRIOR, q).item(), abs=error)
    evidence = (torch.logsumexp(ratio, 0) - math.log(len(ratio))).item()
    assert evidence == pytest.approx(bayes_regression.log_evidence(w, y, PRIOR).item(), abs=0.01)


@pytest.mark.parametrize("factors", ["full", "mean_field"])
def test_no_other_q_of_the_family_is_better(factors: bayes_regression.Factors) -> None:
    w, y = problem()
    q = bayes_regression.fit_variational(w, y, PRIOR, factors)
    best = bayes_regression.lower_bound(w, y, PRIOR, q).item()
    step = 1e-3
    for change in (
        {"mean": q.mean + torch.tensor([step, 0, 0])},
        {"covariance": q.covariance * (1 + step)},
        {"shape": q.shape * (1 + step)},
        {"rate": q.rate * (1 + step)},
    ):
        worse = bayes_regression.lower_bound(w, y, PRIOR, q._replace(**change)).item()
        back = {k: 2 * getattr(q, k) - v for k, v in change.items()}
        other = bayes_regression.lower_bound(w, y, PRIOR, q._replace(**back)).item()
        assert max(worse, other) < best
        assert abs(worse - other) < 0.02 * (2 * best - worse - other)  # a maximum, not a slope


def test_intervals_are_calibrated_where_the_prior_is_true() -> None:
    """Parameters and data drawn from the model: 90% intervals of a new target, after 12 rows, hold it as often."""
    draw, inside, runs = np.random.default_rng(0), 0, 800
    for _ in range(runs):
        s = 1 / draw.gamma(PRIOR.shape, 1 / PRIOR.rate)
        beta = draw.normal(size=3) * np.sqrt(s / PRIOR.precision.numpy())
        w = draw.normal(size=(13, 3))
        y = w @ beta + math.sqrt(s) * draw.normal(size=13)
        q = bayes_regression.fit_variational(torch.from_numpy(w[:-1]), torch.from_numpy(y[:-1]), PRIOR)
        torch.manual_seed(0)
        betas, variances = bayes_regression.sample_posterior(q, 400)
        mean, deviation = betas @ torch.from_numpy(w[-1]), variances.sqrt()
        inside += bool(0.05 < torch.special.ndtr((y[-1] - mean) / deviation).mean() < 0.95)
    assert inside / runs == pytest.approx(0.9, abs=4 * math.sqrt(0.09 / runs))


def test_a_mixtures_quantile() -> None:
    mean, deviation = torch.tensor([[0.0], [10.0]]).double(), torch.tensor([[1.0], [2.0]]).double()
    found = bayes_regression.mixture_quantile(0.75, mean, deviation).item()
    assert found == pytest.approx(10.0, abs=1e-6)  # half of the second component, all of the first
    one = bayes_regression.mixture_quantile(0.9, mean[:1], deviation[:1]).item()
    assert one == pytest.approx(stats.norm.ppf(0.9), abs=1e-9)
    assert isinstance(bayes_regression.fit_variational(*problem(), PRIOR), Posterior)
