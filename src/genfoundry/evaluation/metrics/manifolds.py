"""Precision, recall, density, coverage and the nearest-neighbour test of samples in a judge's features.

Each gives a value an item, whose mean is the metric; all in float64.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from genfoundry.evaluation.bootstrap import Estimate, estimate_mean, estimate_sum_of_means
from genfoundry.evaluation.metric import Direction, Metric
from genfoundry.evaluation.metrics.frechet import CONTROL, OF_FEATURES, read_features, score_control_features
from genfoundry.evaluation.scores import Array, Ids, Scores

NEAREST = 5  # neighbours whose reach is the manifold about an item (Naeem et al. 2020, section 4)
ROWS = 1024  # of a matrix of distances that are in memory at once


def compute_manifolds(scores: Scores, dims: int) -> dict[str, Estimate]:
    """The metrics, and in the control network's features where there are any; none for fewer than three items."""
    estimates_of_all: dict[str, Estimate] = {}
    for suffix in ("", CONTROL):
        if f"features{suffix}" in scores:
            fake, real, ids = read_features(scores, suffix)
            if len(fake) > 2 and np.isfinite(fake).all() and np.isfinite(real).all():
                estimates = {name: estimate_mean(x, ids if name in ("recall", "coverage") else None)
                             for name, x in score_manifolds(fake, real).items()}  # fmt: skip
                estimates["neighbour"] = _neighbour_test(fake, real, ids)
                estimates_of_all |= {f"{name}{suffix}": estimate for name, estimate in estimates.items()}
    return estimates_of_all


def _neighbour_test(fake: Array, real: Array, ids: Ids | None) -> Estimate:
    alike, n = score_neighbours(fake, real), len(fake)
    share = n / len(alike)  # the mean over all is a sum of two means
    kinds = (alike[:n] * share, None), (alike[n:] * (1 - share), ids)
    return replace(estimate_sum_of_means(float(alike.mean()), *kinds).within(0, 1), n=len(alike))


def squared_distances(a: Array, b: Array) -> Iterator[tuple[slice, Array]]:
    """Yield rows of `a`, and their squared distances (rows, m) to every item of `b`."""
    centre = b.mean(0)  # |a|^2 + |b|^2 - 2 a.b loses what a common offset takes
    a, b = a - centre, b - centre
    lengths = (b * b).sum(1)
    rounding = 1e-12 * lengths.max(initial=0)  # what rounding leaves of two equal items' distance
    for at in range(0, len(a), ROWS):
        part = a[at : at + ROWS]
        d = (part * part).sum(1)[:, None] + lengths - 2 * part @ b.T  # (rows, m)
        yield slice(at, at + len(part)), np.where(d > rounding, d, 0.0)


def measure_reach(x: Array, k: int = NEAREST) -> Array:
    """(n,) squared distance of each item to its k-th nearest other item."""
    reaches = np.empty(len(x))
    for rows, d in squared_distances(x, x):
        d[np.arange(len(d)), np.arange(rows.start, rows.stop)] = -1.0  # itself comes first
        reaches[rows] = np.partition(d, k, axis=1)[:, k]  # the k-th after itself
    return reaches


def score_manifolds(fake: Array, real: Array, k: int = NEAREST) -> dict[str, Array]:
    """Precision and density (n generated,), recall and coverage (n real,) of each item; their means are the metrics.

    Precision: a generated item lies within the reach of some real one; recall: the other way round (Kynkaanniemi 2019,
    arXiv:1904.06991). Density: in how many real reaches it lies, over k; coverage: a real item has a generated one
    within its reach (Naeem et al. 2020, arXiv:2002.09797, eq. 5 and 6). `k` is lowered where there are too few items.
    """
    k = min(k, len(fake) - 1, len(real) - 1)
    of_fake, of_real = measure_reach(fake, k), measure_reach(real, k)
    inside = np.zeros(len(fake))
    recalled, covered = np.zeros(len(real), bool), np.zeros(len(real), bool)
    for rows, d in squared_distances(fake, real):
        within = d < of_real  # (rows, m)
        inside[rows] = within.sum(1)
        covered |= within.any(0)
        recalled |= (d < of_fake[rows, None]).any(0)
    return {
        "precision": (inside > 0).astype(np.float64),
        "recall": recalled.astype(np.float64),
        "density": inside / k,
        "coverage": covered.astype(np.float64),
    }


def score_neighbours(fake: Array, real: Array) -> Array:
    """(n + m,) whether each item's nearest other item is of its own kind: 0.5 on average where the samples are alike.

    The leave-one-out nearest-neighbour two-sample test (Lopez-Paz and Oquab 2017, arXiv:1610.06545; Xu et al. 2018,
    arXiv:1806.07755). Where the nearest of both kinds are equally near, half.
    """
    both = np.concatenate([fake, real])
    n = len(fake)
    same = np.empty(len(both))
    for rows, d in squared_distances(both, both):
        at = np.arange(rows.start, rows.stop)
        d[np.arange(len(d)), at] = math.inf  # itself
        to_fake, to_real = d[:, :n].min(1), d[:, n:].min(1)  # (rows,) each
        mine, other = np.where(at < n, (to_fake, to_real), (to_real, to_fake))
        same[rows] = (mine < other) + 0.5 * (mine == other)
    return same


def _metric(name: str, direction: Direction, description: str, ideal: float | None = None, title: str = "") -> Metric:
    return Metric(
        name=name,
        title=title or name,
        unit="" if name == "density" else "share",
        direction=direction,
        ideal=ideal,
        description=description,
        test_only=True,
        score=score_control_features,
        statistics=compute_manifolds,
        **OF_FEATURES,
    )


METRICS = (
    _metric("precision", "maximize", "share of samples that lie where real items lie"),
    _metric("recall", "maximize", "share of real items that lie where samples lie"),
    _metric("density", "ideal", "how densely real items surround a sample; 1 for real items", ideal=1.0),
    _metric("coverage", "maximize", "share of real items with a sample among their neighbours"),
    _metric(
        "neighbour",
        "ideal",
        "how often an item's nearest neighbour is of its own kind; 0.5: alike",
        ideal=0.5,
        title="1-NN",
    ),
)
