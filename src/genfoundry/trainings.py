"""The mean of what several trainings get right of the same items, with an interval that counts both kinds of luck.

A figure of a classifier that is trained on the way varies over items and over trainings: an interval over items alone
leaves out the larger part where items are many.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genfoundry.distances import Array

DRAWS = 1000  # quantiles that stand for the distribution of the mean


def mean(hits: Array, group: NDArray[Any] | None = None) -> tuple[float, Array | None]:
    """The mean of `hits` (N, S), N items by S trainings, and (DRAWS,) quantiles of it; None for less than two of each.

    The variance is that of the mean over items (over their groups, (N,), if these are given) and that over trainings,
    added; its degrees of freedom are Satterthwaite's (1946, Biometrics Bulletin 2). What an item and a training have
    only together is in both parts, so that the interval is never too narrow for it.
    """
    value, (items, trainings) = float(hits.mean()), hits.shape
    units = np.unique(np.arange(items) if group is None else group, return_inverse=True)[1]
    count = int(units.max()) + 1
    if min(count, trainings) < 2:
        return value, None
    totals = np.bincount(units, hits.mean(1) - value)
    parts = (
        (count / (count - 1) * float(np.square(totals).sum()) / items**2, count - 1),
        (float(hits.mean(0).var(ddof=1)) / trainings, trainings - 1),
    )
    variance = sum(part for part, _ in parts)
    if not variance:
        return value, np.full(DRAWS, value)
    freedom = variance**2 / sum(part**2 / free for part, free in parts)
    return value, value + math.sqrt(variance) * _quantiles(freedom)


def _quantiles(freedom: float) -> Array:
    """(DRAWS,) quantiles of Student's t at evenly spaced levels."""
    from scipy.stats import t

    return np.asarray(t.ppf((np.arange(DRAWS) + 0.5) / DRAWS, freedom), np.float64)
