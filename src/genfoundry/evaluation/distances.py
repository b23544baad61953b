"""Frechet and kernel distances of two samples, with intervals: pure numpy on features (n, F), all in float64."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from genfoundry.evaluation.bootstrap import Array, Estimate, Ids
from genfoundry.evaluation.distance_intervals import difference_of_distances, squared_distance
from genfoundry.evaluation.frechet import TINY, transport

ROWS = 1024  # of a matrix of distances that are in memory at once


@dataclass(frozen=True)
class Distance:
    """A squared distance of a generated and a real sample, and what each item moves it by.

    `value` is the figure, `squared` that of the samples with the bias in it, `bias` what it is on average where the
    distributions agree; `of_fake` (n,) and `of_real` (m,) are the influence of the items (Hampel 1974), less a
    constant.
    """

    value: float
    squared: float
    bias: float
    of_fake: Array
    of_real: Array
    ids: Ids | None

    def estimate(self) -> Estimate:
        """The figure and its interval."""
        return squared_distance(self.value, self.squared, self.bias, (self.of_fake, None), (self.of_real, self.ids))

    def less(self, other: Distance) -> Estimate:
        """This figure less another one's, against the same real items."""
        squared, bias = (self.squared + other.squared) / 2, (self.bias + other.bias) / 2
        parts = (self.of_fake, None), (-other.of_fake, None), (self.of_real - other.of_real, self.ids)
        return difference_of_distances(self.value - other.value, squared, bias, *parts)


def frechet_distance(fake: Array, real: Array, ids: Ids | None = None) -> Distance:
    """The squared Frechet distance with the influence of every item; `ids` (m,) are groups of the real ones.

    The gradient by S1 is I - T with T = S1^(-1/2) (S1^(1/2) S2 S1^(1/2))^(1/2) S1^(-1/2), the optimal transport from
    one Gaussian to the other (Olkin and Pukelsheim 1982), that by S2 is I - T^(-1).
    """
    of = transport(fake, real)
    if of is None:
        return Distance(math.nan, math.nan, math.nan, np.zeros(len(fake)), np.zeros(len(real)), ids)
    of_fake = 2 * of.x @ of.gap + (of.x * (of.x - of.x @ of.there)).sum(1)
    of_real = -2 * of.y @ of.gap + (of.y * (of.y - of.y @ of.back)).sum(1)
    bias = _frechet_bias(of.x, of.y, (of.one + of.two) / 2, ids)
    return Distance(of.value, of.value, bias, of_fake, of_real, ids)


def _frechet_bias(x: Array, y: Array, covariance: Array, ids: Ids | None) -> float:
    """What the distance of two such samples would be on average if their distributions agreed.

    To second order it is |d|^2 + sum of D_ij^2 / (2 (l_i + l_j)) of the differences d of means and D of covariances,
    in the eigenbasis of the common covariance, whose eigenvalues are l: the expectation follows from their variances.
    """
    values, vectors = np.linalg.eigh(covariance)
    values = values.clip(max(TINY * values[-1], 1e-300))
    scale = 1 / (2 * (values[:, None] + values))
    return sum(_noise(part @ vectors, scale, groups) for part, groups in ((x, None), (y, ids)))


def _noise(x: Array, scale: Array, ids: Ids | None) -> float:
    """The variance of the mean of x (n, F), summed, and of the mean of its products, summed with `scale` (F, F)."""
    if ids is None:
        each, common = x * x, x.T @ x / len(x)
        return float((each.mean(0).sum() + (scale * (each.T @ each / len(x) - common**2)).sum()) / len(x))
    total, whole = 0.0, x.T @ x / len(x)
    for name in np.unique(ids):
        part = x[ids == name]
        share = len(part) / len(x)
        apart = part.T @ part / len(part) - whole
        total += share**2 / max(1 - share, share) * float((part.mean(0) ** 2).sum() + (scale * apart**2).sum())
    return total


def kernel(fake: Array, real: Array) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel (x.y / F + 1)^3 (Binkowski et al. 2018).

    arXiv:1801.01401, eq. 4. It may be below 0.
    """
    return kernel_distance(fake, real).value


def kernel_distance(fake: Array, real: Array, ids: Ids | None = None) -> Distance:
    """The kernel distance with the influence of every item; `ids` (m,) are groups of the real ones.

    Pairs of one group are left out: they are alike as an item is like itself, and would lift the distance as that does.
    """
    own, apart, near = _within(fake, None)
    other, beside, close = _within(real, ids)
    across, back = _row_means(fake, real)
    value = apart + beside - 2 * float(across.mean())
    bias = own - apart + other - beside
    return Distance(value, value + bias, bias, 2 * (near - across), 2 * (close - back), ids)


def _within(x: Array, ids: Ids | None) -> tuple[float, float, Array]:
    """Means of the kernel over all pairs and over those of two groups, and the latter of each item (n,)."""
    names = np.arange(len(x)) if ids is None or (ids == ids[0]).all() else np.unique(ids, return_inverse=True)[1]
    alike = np.bincount(names)[names]
    total, same = np.empty(len(x)), np.empty(len(x))
    for at in range(0, len(x), ROWS):
        rows = slice(at, at + ROWS)
        k = _kernel(x[rows], x)
        total[rows] = k.sum(1)
        same[rows] = np.where(names[rows, None] == names, k, 0.0).sum(1)
    others = total - same
    return float(total.mean() / len(x)), float(others.sum() / (len(x) - alike).sum()), others / (len(x) - alike)


def _row_means(a: Array, b: Array) -> tuple[Array, Array]:
    """Means of the kernel of each item of `a` with those of `b`, and of each of `b` with those of `a`."""
    of_a, of_b = np.empty(len(a)), np.zeros(len(b))
    for at in range(0, len(a), ROWS):
        k = _kernel(a[at : at + ROWS], b)
        of_a[at : at + ROWS] = k.mean(1)
        of_b += k.sum(0)
    return of_a, of_b / len(a)


def _kernel(a: Array, b: Array) -> Array:
    base = a @ b.T / a.shape[1] + 1
    return np.asarray(base * base * base)
