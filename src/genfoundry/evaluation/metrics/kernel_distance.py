"""Kernel distance (unbiased squared maximum mean discrepancy) of samples and real items in a judge's features.

The kernel is (x.y / F + 1)^3 (Binkowski et al. 2018, arXiv:1801.01401, eq. 4).
"""

from __future__ import annotations

import numpy as np

from genfoundry.evaluation.metric import Distance, Metric
from genfoundry.evaluation.metrics.frechet import CONTROL, OF_FEATURES, read_features, score_control_features
from genfoundry.evaluation.scores import Array, Ids, Scores

ROWS = 1024  # of a matrix of distances that are in memory at once


def compute_kernel(scores: Scores, dims: int) -> dict[str, Distance]:
    """ "kernel", and "kernel_control" where there are features of the control network."""
    distances = {}
    for suffix in ("", CONTROL):
        if f"features{suffix}" in scores:
            fake, real, ids = read_features(scores, suffix)
            if len(fake) > 2 and np.isfinite(fake).all() and np.isfinite(real).all():
                distances[f"kernel{suffix}"] = kernel_distance(fake, real, ids)
    return distances


def kernel_distance(fake: Array, real: Array, ids: Ids | None = None) -> Distance:
    """The kernel distance with the influence of every item; `ids` (m,) are groups of the real ones. May be below 0.

    Pairs of one group are left out: they are alike as an item is like itself, and would lift the distance as that does.
    """
    all_fake, value_fake, near_fake = _means_within(fake, None)
    all_real, value_real, near_real = _means_within(real, ids)
    across, back = _row_means(fake, real)
    value = value_fake + value_real - 2 * float(across.mean())
    bias = all_fake - value_fake + all_real - value_real  # biased less unbiased
    return Distance(value, value + bias, bias, 2 * (near_fake - across), 2 * (near_real - back), ids)


def _means_within(x: Array, ids: Ids | None) -> tuple[float, float, Array]:
    """Means of the kernel over all pairs and over those of two groups, and the latter of each item (n,)."""
    # Items of one group alone are taken for independent: no pair would be left
    names = np.arange(len(x)) if ids is None or (ids == ids[0]).all() else np.unique(ids, return_inverse=True)[1]
    alike = np.bincount(names)[names]  # (n,) items of the same group
    total, same = np.empty(len(x)), np.empty(len(x))
    for at in range(0, len(x), ROWS):
        rows = slice(at, at + ROWS)
        k = _kernel(x[rows], x)  # (rows, n)
        total[rows] = k.sum(1)
        same[rows] = np.where(names[rows, None] == names, k, 0.0).sum(1)
    others = total - same
    return float(total.mean() / len(x)), float(others.sum() / (len(x) - alike).sum()), others / (len(x) - alike)


def _row_means(a: Array, b: Array) -> tuple[Array, Array]:
    """Means of the kernel of each item of `a` with those of `b`, and of each of `b` with those of `a`."""
    of_a, of_b = np.empty(len(a)), np.zeros(len(b))
    for at in range(0, len(a), ROWS):
        k = _kernel(a[at : at + ROWS], b)  # (rows, m)
        of_a[at : at + ROWS] = k.mean(1)
        of_b += k.sum(0)
    return of_a, of_b / len(a)


def _kernel(a: Array, b: Array) -> Array:
    base = a @ b.T / a.shape[1] + 1
    return np.asarray(base * base * base)


METRICS = (
    Metric(
        name="kernel",
        title="kernel",
        unit="",
        direction="minimize",
        description="unbiased squared kernel distance (cubic) in the judge's features",
        test_only=True,
        score=score_control_features,
        statistics=compute_kernel,
        **OF_FEATURES,
    ),
)
