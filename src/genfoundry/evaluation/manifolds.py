"""Precision, recall, density, coverage and the nearest-neighbour test of two samples of features (n, F).

Each gives a value an item, whose mean is the figure; all in float64.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from genfoundry.evaluation.bootstrap import Array

NEAREST = 5  # neighbours whose reach is the manifold about an item (Naeem et al. 2020, section 4)
ROWS = 1024  # of a matrix of distances that are in memory at once


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
