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
PRIOR = 10.0  # items: how much the variance of all counts in that of a group
TINY = 1e-6  # the least variance: that of a constant value


class GaussianFlow(nn.Module):
    """A Gaussian of each group of items and one of all, which share principal axes but not means and variances.

    Args:
        dims: number of values, D.
        components: at most so many principal axes, K; before `fit` all items are N(0, I).
        groups: G, such as classes. Methods take the groups (B,) of vectors (B, D), G for the Gaussian of all items,
            which is also that of None.
    """

    basis: Tensor  # (D, K), orthonormal columns
    mean: Tensor  # (G + 1, D)
    variance: Tensor  # (G + 1, K)
    rest: Tensor  # (G + 1, 1), the variance of all other directions

    def __init__(self, dims: int, components: int, groups: int = 0) -> None:
        super().__init__()
        self.components = min(components, dims)
        self.register_buffer("basis", torch.zeros(dims, self.components))
        self.register_buffer("mean", torch.zeros(groups + 1, dims))
        self.register_buffer("variance", torch.ones(groups + 1, self.components))
        self.register_buffer("rest", torch.ones(groups + 1, 1))

    @torch.no_grad()
    def fit(self, x: Tensor, group: Tensor | None = None) -> None:
        """Fit to items (N, D) of groups (N,), with randomised principal components (Halko et al. 2011).

        A group is taken to have `PRIOR` items more, of the variance of all; one without items is as all are.
        """
        x = x.float().cpu()
        count = min(self.components, len(x) - 1)
        self.basis.zero_()
        if count > 0:
            axes = torch.pca_lowrank(x, q=min(count + SPARE, *x.shape), niter=3)[2]
            self.basis[:, :count] = axes[:, :count]
        overall = self._moments(x)
        for g in range(len(self.mean)):
            rows = x if group is None or g == len(self.mean) - 1 else x[group.cpu() == g]
            mean, variance, rest = overall if len(rows) in (0, len(x)) else self._moments(rows)
            trust = len(rows) / (len(rows) + PRIOR)
            self.mean[g] = mean
            self.rest[g] = torch.lerp(overall[2], rest, trust).clamp_min(TINY)
            self.variance[g] = torch.lerp(overall[1], variance, trust).clamp_min(TINY)
            self.variance[g, count:] = self.rest[g]  # of components that there are not

    def _moments(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean (D,), variances along the axes (K,), and in all other directions (1,), of items (N, D)."""
        mean = x.mean(0)
        along = ((x - mean) @ self.basis.cpu()).square().mean(0)  # (K,)
        total = (x - mean).square().mean(0).sum()
        others = max(x.shape[1] - int(self.basis.any(0).sum()), 1)
        return mean, along, ((total - along.sum()) / others).view(1)

    def velocity(self, x: Tensor, t: Tensor, group: Tensor | None = None) -> Tensor:
        """Return E[x1 - x0 | x_t] (B, D) at points x (B, D) and times t (B, 1)."""
        mean, variance, rest = self._select(group)
        return mean + self._scale(x - t * mean, _growth(variance, t), _growth(rest, t))

    def whiten(self, x: Tensor, t: float, group: Tensor | None = None) -> Tensor:
        """Divide vectors (B, D) by s(t): x_t - t m becomes u."""
        _, variance, rest = self._select(group)
        return self._scale(x, 1 / _spread(variance, t), 1 / _spread(rest, t))

    def locate(self, u: Tensor, t: float, group: Tensor | None = None) -> Tensor:
        """Map u (B, D) to the point x_t (B, D), the inverse of `whiten`(x_t - t m)."""
        mean, variance, rest = self._select(group)
        return t * mean + self._scale(u, _spread(variance, t), _spread(rest, t))

    def log_volume(self) -> Tensor:
        """Return log det(S) / 2, (): by how much the log-density of u exceeds that of x_1, of all items."""
        others = self.mean.shape[1] - self.components
        return (self.variance[-1].log().sum() + others * self.rest[-1, 0].log()) / 2

    def _select(self, group: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        parts = (self.mean, self.variance, self.rest)
        mean, variance, rest = (part[-1:] if group is None else part[group] for part in parts)
        return mean, variance, rest

    def _scale(self, x: Tensor, major: Tensor, minor: Tensor) -> Tensor:
        """Scale x (B, D): its components by `major` (1 or B, K), what is left by `minor` (1 or B, 1)."""
        with torch.autocast(x.device.type, enabled=False):
            return minor * x + ((x @ self.basis) * (major - minor)) @ self.basis.T


def _spread(variance: Tensor, t: float) -> Tensor:
    """s(t): the standard deviation of x_t."""
    return ((1 - t) ** 2 + t**2 * variance).sqrt()


def _growth(variance: Tensor, t: Tensor) -> Tensor:
    """g(t) = s'(t) / s(t)."""
    return (t * variance - (1 - t)) / ((1 - t) ** 2 + t**2 * variance)


def normal_log_density(u: Tensor) -> Tensor:
    """Return log N(u; 0, I) (B,) of u (B, D)."""
    return -0.5 * (u.square().sum(1) + u.shape[1] * math.log(2 * math.pi))
