"""The season of a series, and the error of its naive forecast: the unit of scaled errors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LEAST = 0.2  # autocorrelation of a season


def find_season(x: Floats, longest: int) -> int:
    """The lag, 2 to `longest`, of the highest peak of the columns' mean autocorrelation; 0 where none is above `LEAST`.

    Straight lines are taken off (L, D) values first: beside a trend a season hardly shows. NaN is missing.
    """
    longest = min(longest, len(x) // 3)
    t = np.arange(len(x)) - (len(x) - 1) / 2
    y = np.zeros_like(x)
    for d, column in enumerate(x.T):
        present = ~np.isnan(column)
        if present.sum() > 2:
            y[present, d] = column[present] - np.polyval(np.polyfit(t[present], column[present], 1), t[present])
    power = np.maximum((y * y).sum(0), 1e-300)
    r = np.array([((y[k:] * y[: len(y) - k]).sum(0) / power).mean() for k in range(longest + 2)])
    peaks = [k for k in range(2, longest + 1) if r[k] > max(r[k - 1], r[k + 1], LEAST)]
    return max(peaks, key=lambda k: r[k], default=0)


def naive_error(x: Floats, season: int) -> Floats:
    """(D,) mean absolute difference of (L, D) values a season (0: a row) apart.

    Hyndman and Koehler 2006. A column that repeats itself exactly is measured by its steps, else in its own unit.
    """
    scale = np.ones(x.shape[1])
    for lag in (1, max(season, 1)):
        gap = np.abs(x[lag:] - x[:-lag])
        mean = np.where(np.isnan(gap), 0, gap).sum(0) / np.maximum((~np.isnan(gap)).sum(0), 1)
        scale = np.where(mean > 0, mean, scale)
    return scale
