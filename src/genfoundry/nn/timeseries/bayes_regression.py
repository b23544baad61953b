"""Bayesian linear regression: y = W beta + e, e ~ N(0, s), beta | s ~ N(0, s / precision), s ~ IG(shape, rate).

The posterior is approximated by q(beta) q(s), a Gaussian (full, or a factor each coefficient) and an inverse gamma: the
fixed point of coordinate ascent on the evidence lower bound (Drugowitsch 2013, arXiv:1310.5438; Bishop 2006, section
10.3). The prior is conjugate, so that the log evidence has a closed form, which tests compare with the bound.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from genfoundry.nn.torch_private import standard_gamma

Factors = Literal["full", "mean_field"]


class Prior(NamedTuple):
    """`precision` (K,) of the coefficients, in units of the noise's; `shape` and `rate` of the noise variance."""

    precision: Tensor
    shape: float
    rate: float


class Posterior(NamedTuple):
    """q: mean (K,) and covariance (K, K) of the coefficients; shape and rate () of the noise's variance."""

    mean: Tensor
    covariance: Tensor
    shape: Tensor
    rate: Tensor

    @property
    def sharpness(self) -> Tensor:
        """E[1 / s]."""
        return self.shape / self.rate

    @property
    def log_variance(self) -> Tensor:
        """E[log s]."""
        return self.rate.log() - torch.digamma(self.shape)


def fit_variational(w: Tensor, y: Tensor, prior: Prior, factors: Factors = "full") -> Posterior:
    """Return q for regressors (N, K) and targets (N,).

    The updates q(beta) = N(M^{-1} W^T y, (E[1/s] M)^{-1}), M = W^T W + diag(precision) (of factors, M's diagonal is
    inverted), and rate = b + (R + tr M cov) / 2, R the least sum of squares, meet where the trace is K rate / shape.
    """
    matrix, mean, least = _least(w, y, prior)
    count = len(mean)
    # In closed form, from the fixed point of the updates
    shape = mean.new_tensor(prior.shape + (len(y) + count) / 2)
    rate = (prior.rate + least / 2) / (1 - count / (2 * shape))
    # (K, K)
    inverse = (
        torch.cholesky_inverse(torch.linalg.cholesky(matrix)) if factors == "full" else (1 / matrix.diagonal()).diag()
    )
    return Posterior(mean, inverse * (rate / shape), shape, rate)


def _least(w: Tensor, y: Tensor, prior: Prior) -> tuple[Tensor, Tensor, Tensor]:
    """Return M, M^{-1} W^T y, and the least |y - W beta|^2 + beta^T diag(precision) beta."""
    matrix = w.mT @ w + prior.precision.diag()
    mean = torch.cholesky_solve((w.mT @ y)[:, None], torch.linalg.cholesky(matrix))[:, 0]  # (K,)
    return matrix, mean, (y - w @ mean).square().sum() + (prior.precision * mean.square()).sum()


def log_evidence(w: Tensor, y: Tensor, prior: Prior) -> Tensor:
    """Return log p(y), exactly: a multivariate t."""
    matrix, _, least = _least(w, y, prior)
    shape = prior.shape + len(y) / 2
    volume = prior.precision.log().sum() - torch.linalg.slogdet(matrix).logabsdet
    constant = prior.shape * math.log(prior.rate) + math.lgamma(shape) - math.lgamma(prior.shape)
    log_prob: Tensor = (
        0.5 * volume + constant - shape * (prior.rate + least / 2).log() - 0.5 * len(y) * math.log(2 * math.pi)
    )
    return log_prob


def lower_bound(w: Tensor, y: Tensor, prior: Prior, q: Posterior) -> Tensor:
    """Return the evidence lower bound E_q[log p(y, beta, s)] + H[q], of any q."""
    count, gram = len(q.mean), w.mT @ w
    misfit = (y - w @ q.mean).square().sum() + (gram * q.covariance).sum()
    size = (prior.precision * (q.mean.square() + q.covariance.diagonal())).sum()
    likelihood = -0.5 * (len(y) * (math.log(2 * math.pi) + q.log_variance) + q.sharpness * misfit)
    coefficients = 0.5 * (prior.precision.log().sum() - count * (math.log(2 * math.pi) + q.log_variance))
    variance = prior.shape * math.log(prior.rate) - math.lgamma(prior.shape) - (prior.shape + 1) * q.log_variance
    entropy = 0.5 * (torch.linalg.slogdet(q.covariance).logabsdet + count * (1 + math.log(2 * math.pi)))
    entropy = entropy + q.shape + q.rate.log() + torch.lgamma(q.shape) - (1 + q.shape) * torch.digamma(q.shape)
    bound: Tensor = likelihood + coefficients - 0.5 * q.sharpness * size + variance - prior.rate * q.sharpness + entropy
    return bound


def mirror(q: Posterior, sign: float) -> Posterior:
    """Return q of the regression of `sign` y on `sign` times its lags: only the constant changes its sign."""
    signs = torch.ones_like(q.mean)
    signs[0] = sign
    return q._replace(mean=signs * q.mean, covariance=signs[:, None] * q.covariance * signs)


def sample_posterior(q: Posterior, n: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """Draw coefficients (n, K) and noise variances (n,) from q."""
    # (n, K), with covariance q.covariance after the product with its Cholesky factor
    noise = torch.randn(n, len(q.mean), dtype=q.mean.dtype, device=q.mean.device, generator=generator)
    beta = q.mean + noise @ torch.linalg.cholesky(q.covariance).mT
    gamma = standard_gamma(q.shape.expand(n), generator)
    return beta, q.rate / gamma  # inverse gamma


def mixture_quantile(level: float, mean: Tensor, deviation: Tensor) -> Tensor:
    """Return (...): a quantile of the uniform mixture of Gaussians with (S, ...) means and deviations, by bisection."""
    # The mixture's mass beyond 9 standard deviations of all its parts is below 1e-18
    low, high = (mean - 9 * deviation).amin(0), (mean + 9 * deviation).amax(0)
    for _ in range(48):  # halvings
        middle = (low + high) / 2
        # (...): whether the mixture's distribution function is below the level
        below = torch.special.ndtr((middle - mean) / deviation).mean(0) < level
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (low + high) / 2
