"""Multivariate Gaussians with a shrunk covariance: linear restoration, and an exact likelihood of integer levels."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
ROUNDING = 1 / 12  # variance that rounding to integer levels adds to any value
WORK = 5e8  # multiplications for one item with missing values, which bound the number of axes
EM_STEPS = 50


@dataclass(frozen=True)
class Gaussian:
    """N(mean, covariance), covariance = axes @ axes.T + floor * I (factor analysis with equal noise).

    Attributes:
        mean: (D,).
        axes: (D, R) principal axes, each times the root of its variance over the floor.
        floor: variance of every direction beside the axes' own.
    """

    mean: Floats
    axes: Floats
    floor: float

    @classmethod
    def fit(cls, items: NDArray[np.generic], least: float = ROUNDING) -> Gaussian:
        """Fit mean and covariance to items (N, D), the covariance shrunk towards a multiple of the identity.

        The shrinkage is that of Ledoit and Wolf (2004), so the fit is well posed with fewer items than dimensions.
        Axes are left out, smallest first, where they would cost more than `WORK`; the floor has their mean variance.
        `least` is the least variance of any direction.
        """
        x = items.astype(np.float64)
        mean = x.mean(0)
        x -= mean
        variances, axes = _principal_axes(x)  # (R,), (D, R)
        shrinkage, target = ledoit_wolf(variances, np.square(x).sum(1), x.shape[1]), variances.sum() / x.shape[1]
        rank = min(len(variances), max(int(math.sqrt(WORK / x.shape[1])), 1))
        rest = variances[rank:].sum() / max(x.shape[1] - rank, 1)
        floor = max(shrinkage * target + (1 - shrinkage) * rest, least)
        above = (shrinkage * target + (1 - shrinkage) * variances[:rank] - floor).clip(0)
        return cls(mean, axes[:, :rank] * np.sqrt(above), floor)

    def posterior_mean(self, y: Floats, noise: Floats, gain: float = 1.0, offset: float = 0.0) -> Floats:
        """(N, D) expectation of x given y = gain * x + offset + noise: the best linear estimate, noise Gaussian or not.

        Kalman's update in the space of the axes. `noise` (N or 1, D) holds variances: 0 where a value is known, inf
        where it is missing. With equal noise everywhere this is the Wiener filter, with 0 and inf alone the conditional
        mean of the missing values.
        """
        error = np.where(np.isinf(noise), 0.0, y - gain * self.mean - offset)  # (N, D)
        total = noise + gain**2 * self.floor  # (N or 1, D)
        # Items with the same noise share a system of equations
        masks, number = np.unique(total, axis=0, return_inverse=True)
        number = np.broadcast_to(number.ravel(), len(y))
        codes = np.empty((len(y), self.axes.shape[1]))
        for i, mask in enumerate(masks):
            codes[number == i] = self._codes(error[number == i], mask, gain)
        common = codes @ self.axes.T  # (N, D)
        return np.asarray(self.mean + common + gain * self.floor / total * (error - gain * common))

    def _codes(self, error: Floats, total: Floats, gain: float) -> Floats:
        """(N, R) expectations along the axes of items with the same noise; solves the smaller of two equal systems."""
        from scipy.linalg import solve

        known = np.isfinite(total)
        axes, error, total = gain * self.axes[known], error[:, known], total[known]
        if len(axes) < axes.shape[1]:
            return np.asarray((axes.T @ solve(axes @ axes.T + np.diag(total), error.T, assume_a="pos")).T)
        system = np.eye(axes.shape[1]) + (axes / total[:, None]).T @ axes  # (R, R)
        return np.asarray(solve(system, axes.T @ (error / total).T, assume_a="pos").T)


@dataclass(frozen=True)
class LinearAR:
    """Every value given those before it: a discretised Gaussian about a linear forecast, mixed with its histogram.

    p(x_i | x_<i) = (1 - w) P(round(z) = x_i) + w h_i(x_i), z ~ N(m_i + sum_j<i a_ij (x_j - m_j), s_i^2), the ends of
    the levels taking the tails. Coefficients and s_i are those of the covariance's Cholesky factor (the exact density
    of probabilistic PCA with all axes, Tipping and Bishop 1999, one value at a time), h_i are smoothed counts. Each
    factor sums to one, so that the product does: an exact likelihood of integer levels.

    Attributes:
        mean: (D,).
        factor: (D, D) lower triangular, the Cholesky factor of the covariance.
        histogram: (D, levels) probabilities.
        weight: w, of the histogram.
    """

    mean: Floats
    factor: Floats
    histogram: Floats
    weight: float = 0.0

    @classmethod
    def fit(cls, items: NDArray[np.integer], histogram: Floats) -> LinearAR:
        """Fit the Gaussian to four fifths of the items (N, D), and w by expectation maximisation to the others."""
        gaussian, others = Gaussian.fit(items[len(items) // 5 :]), items[: len(items) // 5]
        covariance = gaussian.axes @ gaussian.axes.T + gaussian.floor * np.eye(len(gaussian.mean))  # (D, D)
        model, weight = cls(gaussian.mean, np.asarray(np.linalg.cholesky(covariance), np.float64), histogram), 0.5
        linear, counted = model._components(others)  # (n, D) each
        for _ in range(EM_STEPS):
            weight = float((weight * counted / (weight * counted + (1 - weight) * linear)).mean())  # an EM step
        return replace(model, weight=weight)

    def nll(self, items: NDArray[np.integer]) -> Floats:
        """(N, D) -> (N,) nats, exact."""
        parts = []
        for part in np.array_split(items, max(len(items) // 2000, 1)):
            linear, counted = self._components(part)
            parts.append(-np.log((1 - self.weight) * linear + self.weight * counted).sum(1))
        return np.concatenate(parts)

    def _components(self, items: NDArray[np.integer]) -> tuple[Floats, Floats]:
        """(N, D) probabilities of each value under the Gaussian and under the histogram."""
        from scipy.linalg import solve_triangular
        from scipy.special import ndtr

        x, scale = items.astype(np.float64), np.diag(self.factor)
        white = solve_triangular(self.factor, (x - self.mean).T, lower=True).T  # (x - forecast) / scale
        low = np.where(x == 0, -np.inf, white - 0.5 / scale)  # the lowest level has the tail
        high = np.where(x == self.histogram.shape[1] - 1, np.inf, white + 0.5 / scale)
        upper = low > 0  # there the difference is of small numbers in the mirrored tail
        linear = ndtr(np.where(upper, -low, high)) - ndtr(np.where(upper, -high, low))
        return linear, self.histogram[np.arange(x.shape[1]), items.astype(np.int64)]


def _principal_axes(x: Floats) -> tuple[Floats, Floats]:
    """Variances (R,), largest first, and orthonormal axes (D, R) of centred items (N, D); R = min(N, D)."""
    n, dims = x.shape
    if n >= dims:
        variances, axes = np.linalg.eigh(x.T @ x / n)  # ascending
        return variances[::-1].clip(0), axes[:, ::-1]
    # With fewer items than values the Gram matrix is the smaller one with the same eigenvalues
    variances, codes = np.linalg.eigh(x @ x.T / n)
    variances, codes = variances[::-1].clip(0), codes[:, ::-1]
    scale = np.sqrt(n * np.maximum(variances, 1e-12 * max(variances[0], 1e-300)))  # the mean took one dimension
    return variances, x.T @ codes / scale


def ledoit_wolf(variances: Floats, squares: Floats, dims: int) -> float:
    """Shrinkage in 0..1 from the covariance's eigenvalues (R,) and the items' squared norms (N,).

    Ledoit and Wolf (2004), section 3.3, as `sklearn.covariance.ledoit_wolf_shrinkage` but without a (D, D) matrix.
    """
    scatter = float(np.square(variances).sum())
    dispersion = scatter - float(variances.sum()) ** 2 / dims
    error = (float(np.square(squares).mean()) - scatter) / len(squares)
    return min(error / dispersion, 1.0) if dispersion > 0 else 1.0  # a multiple of I already
