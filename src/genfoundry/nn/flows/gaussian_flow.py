"""The straight-path flow from N(0, I) to a Gaussian fitted to the data, in closed form: what a network need not learn.

For x0 ~ N(0, I), x1 ~ N(m, S) independent and x_t = (1 - t) x0 + t x1, the velocity E[x1 - x0 | x_t] is linear:
m + g(t) (x_t - t m) in the eigenbasis of S, with g = s'/s and s(t)^2 = (1 - t)^2 + t^2 l for an eigenvalue l. It is the
best linear prediction whatever the data's distribution, and early in the flow close to the best of all (Wang and
Vastola 2024, arXiv:2412.09726). Its paths keep u = (x_t - t m) / s(t) constant, so that in these coordinates a solver
has the rest alone to integrate (an exponential integrator; Lawson 1967) and a Gaussian takes one step.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

SPARE = 10  # components more than asked for, which make those asked for exact
TINY = 1e-6  # the least variance: that of a constant value


class GaussianFlow(nn.Module):
    """Principal components of the data, and one variance for all other directions.

    Args:
        dims: number of values, D.
        components: at most so many principal components, K; before `fit` the data are N(0, I).
    """

    mean: Tensor  # (D,)
    basis: Tensor  # (D, K), orthonormal columns
    variance: Tensor  # (K,)
    rest: Tensor  # (1,), the variance of other directions

    def __init__(self, dims: int, components: int) -> None:
        super().__init__()
        self.components = min(components, dims)
        self.register_buffer("mean", torch.zeros(dims))
        self.register_buffer("basis", torch.zeros(dims, self.components))
        self.register_buffer("variance", torch.ones(self.components))
        self.register_buffer("rest", torch.ones(1))

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Fit mean and covariance to items (N, D), with randomised principal components (Halko et al. 2011)."""
        x = x.float().cpu()
        mean, dims = x.mean(0), x.shape[1]
        count = min(self.components, len(x) - 1)
        total = (x - mean).square().sum() / len(x)
        self.mean.copy_(mean)
        self.basis.zero_()
        explained = x.new_zeros(0)
        if count > 0:
            _, singular, basis = torch.pca_lowrank(x, q=min(count + SPARE, *x.shape), niter=3)
            explained = singular[:count].square() / len(x)
            self.basis[:, :count] = basis[:, :count]
        rest = ((total - explained.sum()) / max(dims - count, 1)).clamp_min(TINY)  # ()
        self.rest.fill_(rest)
        self.variance.fill_(rest)  # of components that there are not
        self.variance[:count] = explained.clamp_min(TINY)

    def velocity(self, x: Tensor, t: Tensor) -> Tensor:
        """Return E[x1 - x0 | x_t] (B, D) at points x (B, D) and times t (B, 1)."""
        (major, minor), shift = (self._growth(v, t) for v in (self.variance, self.rest)), x - t * self.mean
        return self.mean + self._scale(shift, major, minor)

    def whiten(self, x: Tensor, t: float) -> Tensor:
        """Divide vectors (B, D) by s(t): x - t m becomes u."""
        major, minor = (1 / self._spread(v, t) for v in (self.variance, self.rest))
        return self._scale(x, major, minor)

    def locate(self, u: Tensor, t: float) -> Tensor:
        """Map u (B, D) to the point x_t (B, D), the inverse of `whiten`(x_t - t m)."""
        major, minor = (self._spread(v, t) for v in (self.variance, self.rest))
        return t * self.mean + self._scale(u, major, minor)

    def log_volume(self) -> Tensor:
        """Return log det(S) / 2, (): by how much the log-density of u exceeds that of x_1."""
        others = len(self.mean) - self.components
        return (self.variance.log().sum() + others * self.rest.log().sum()) / 2

    def _scale(self, x: Tensor, major: Tensor, minor: Tensor) -> Tensor:
        """Scale x (B, D): its components by `major` (1 or B, K), what is left by `minor` (1 or B, 1)."""
        with torch.autocast(x.device.type, enabled=False):
            return minor * x + ((x @ self.basis) * (major - minor)) @ self.basis.T

    @staticmethod
    def _spread(variance: Tensor, t: float) -> Tensor:
        return ((1 - t) ** 2 + t**2 * variance).sqrt()

    @staticmethod
    def _growth(variance: Tensor, t: Tensor) -> Tensor:
        return (t * variance - (1 - t)) / ((1 - t) ** 2 + t**2 * variance)


def normal_log_density(u: Tensor) -> Tensor:
    """Return log N(u; 0, I) (B,) of u (B, D)."""
    return -0.5 * (u.square().sum(1) + u.shape[1] * math.log(2 * math.pi))
