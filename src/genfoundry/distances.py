"""How far two samples are from each other: pure numpy on features (n, F) of generated and of real items.

Everything is float64. Frechet and kernel distances compare whole samples; precision, recall, density, coverage and the
nearest-neighbour test give a value an item, whose mean is the figure.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from genfoundry.types import UserError

Array = NDArray[np.float64]
NEAREST = 5  # neighbours whose reach is the manifold about an item (Naeem et al. 2020, section 4)
ROWS = 1024  # of a matrix of distances that are in memory at once


class Moments:
    """Mean and covariance of features (n, F), and of resamples of them: all that a Frechet distance looks at."""

    def __init__(self, features: Array, weights: Array | None = None) -> None:
        if features.ndim != 2 or len(features) < 2:
            raise UserError(f"features: shape {features.shape}; a covariance needs (n >= 2, features)")
        self.features = features
        w = np.ones(len(features)) if weights is None else weights
        self.mean: Array = w @ features / len(features)
        centred = (features - self.mean) * np.sqrt(w)[:, None]
        self.covariance: Array = centred.T @ centred / (len(features) - 1)

    def draw(self, rng: np.random.Generator) -> Moments:
        """Moments of as many items drawn with replacement."""
        n = len(self.features)
        return Moments(self.features, np.bincount(rng.integers(0, n, n), minlength=n).astype(np.float64))

    def distance(self, other: Moments) -> float:
        """|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)), by eigenvalues of symmetric matrices; NaN if a feature is."""
        if not (np.isfinite(self.covariance).all() and np.isfinite(other.covariance).all()):
            return math.nan
        values, vectors = np.linalg.eigh(self.covariance)
        root = vectors * np.sqrt(values.clip(0)) @ vectors.T
        cross = np.sqrt(np.linalg.eigvalsh(root @ other.covariance @ root).clip(0)).sum()
        gap = self.mean - other.mean
        traces = np.trace(self.covariance) + np.trace(other.covariance)
        return max(float(gap @ gap + traces - 2 * cross), 0.0)


def frechet(a: Array, b: Array) -> float:
    """Squared Frechet distance of Gaussians fitted to two samples of features, (n, F) each (Heusel 2017, eq. 6).

    It is biased upward by about 1/n, so compare figures of the same n only.
    """
    return Moments(np.asarray(a, np.float64)).distance(Moments(np.asarray(b, np.float64)))


def kernel(a: Array, b: Array) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel (x.y / F + 1)^3 (Binkowski et al. 2018).

    arXiv:1801.01401, eq. 4. It may be below 0.
    """
    return float(kernel_draws(a, b, np.ones((1, len(a))), np.ones((1, len(b))))[0])


def kernel_draws(a: Array, b: Array, of_a: Array, of_b: Array) -> Array:
    """(R,) kernel distances of R resamples: `of_a` (R, n) and `of_b` (R, m) say how often each item was drawn.

    A pair of the same item is left out however often it was drawn, and the rest is scaled to what it would be on
    average over resamples: the mean over resamples is the unbiased estimate, where counting such pairs would lift it.
    """
    n, m = len(a), len(b)
    once = len(of_a) == 1 and bool((of_a == 1).all() and (of_b == 1).all())
    within = [1 / (k * (k - 1)) * (1.0 if once else k / (k - 1)) for k in (n, m)]
    return (
        within[0] * _products(a, a, of_a, of_a, apart=True)
        + within[1] * _products(b, b, of_b, of_b, apart=True)
        - 2 / (n * m) * _products(a, b, of_a, of_b, apart=False)
    )


def _products(a: Array, b: Array, of_a: Array, of_b: Array, *, apart: bool) -> Array:
    """(R,) sums over pairs of w_i v_j k(a_i, b_j); `apart` leaves out i = j."""
    total = np.zeros(len(of_a))
    for at in range(0, len(a), ROWS):
        k = (a[at : at + ROWS] @ b.T / a.shape[1] + 1) ** 3
        if apart:
            rows = np.arange(len(k))
            k[rows, at + rows] = 0.0
        total += np.einsum("ri,ir->r", of_a[:, at : at + ROWS], k @ of_b.T)
    return total


def squared(a: Array, b: Array) -> Iterator[tuple[slice, Array]]:
    """Rows of `a`, and their squared distances (rows, m) to every item of `b`."""
    centre = b.mean(0)  # |a|^2 + |b|^2 - 2 a.b loses what a common offset takes
    a, b = a - centre, b - centre
    lengths = (b * b).sum(1)
    nothing = 1e-12 * lengths.max(initial=0)  # what rounding leaves of two equal items' distance
    for at in range(0, len(a), ROWS):
        part = a[at : at + ROWS]
        d = (part * part).sum(1)[:, None] + lengths - 2 * part @ b.T
        yield slice(at, at + len(part)), np.where(d > nothing, d, 0.0)


def reach(x: Array, k: int = NEAREST) -> Array:
    """(n,) squared distance of each item to its k-th nearest other item."""
    found = np.empty(len(x))
    for rows, d in squared(x, x):
        d[np.arange(len(d)), np.arange(rows.start, rows.stop)] = -1.0  # itself comes first
        found[rows] = np.partition(d, k, axis=1)[:, k]
    return found


def manifolds(fake: Array, real: Array, k: int = NEAREST) -> dict[str, Array]:
    """Precision and density (n generated,), recall and coverage (n real,) of each item; their means are the figures.

    Precision: a generated item lies within the reach of some real one; recall: the other way round (Kynkaanniemi 2019,
    arXiv:1904.06991). Density: in how many real reaches it lies, over k; coverage: a real item has a generated one
    within its reach (Naeem et al. 2020, arXiv:2002.09797, eq. 5 and 6). `k` is lowered where there are too few items.
    """
    k = min(k, len(fake) - 1, len(real) - 1)
    of_fake, of_real = reach(fake, k), reach(real, k)
    inside = np.zeros(len(fake))
    recalled, covered = np.zeros(len(real), bool), np.zeros(len(real), bool)
    for rows, d in squared(fake, real):
        within = d < of_real
        inside[rows] = within.sum(1)
        covered |= within.any(0)
        recalled |= (d < of_fake[rows, None]).any(0)
    return {
        "precision": (inside > 0).astype(np.float64),
        "recall": recalled.astype(np.float64),
        "density": inside / k,
        "coverage": covered.astype(np.float64),
    }


def neighbour(fake: Array, real: Array) -> Array:
    """(n + m,) whether each item's nearest other item is of its own kind: 0.5 on average where the samples are alike.

    The leave-one-out nearest-neighbour two-sample test (Lopez-Paz and Oquab 2017, arXiv:1610.06545; Xu et al. 2018,
    arXiv:1806.07755). Where the nearest of both kinds are equally near, half.
    """
    both = np.concatenate([fake, real])
    n = len(fake)
    own = np.empty(len(both))
    for rows, d in squared(both, both):
        at = np.arange(rows.start, rows.stop)
        d[np.arange(len(d)), at] = math.inf
        to_fake, to_real = d[:, :n].min(1), d[:, n:].min(1)
        mine, other = np.where(at < n, (to_fake, to_real), (to_real, to_fake))
        own[rows] = (mine < other) + 0.5 * (mine == other)
    return own
