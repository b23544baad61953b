"""The mean of what several trainings get right of the same items, with an interval that counts both kinds of luck.

A figure of a classifier that is trained on the way varies over items and over trainings: an interval over items alone
leaves out the larger part where items are many.
"""

from __future__ import annotations

import math
from dataclasses import replace

from genfoundry.evaluation.bootstrap import Array, Estimate, Ids, sum_of_means


def mean(hits: Array, ids: Ids | None = None) -> Estimate:
    """The mean of `hits` (N, S), N items in groups `ids` (N,) by S trainings; no interval for less than two of each.

    The variance is that of the mean over items (over their groups) and that over trainings, added. What an item and a
    training have only together is in both parts, so that the interval is never too narrow for it.
    """
    over_items = sum_of_means(float(hits.mean()), (hits.mean(1), ids))
    if not over_items.known or hits.shape[1] < 2:
        return replace(over_items, stderr=math.nan, low=math.nan, high=math.nan)
    both = sum_of_means(over_items.value, (hits.mean(1), ids), (hits.mean(0), None))
    return replace(both, n=over_items.n, groups=over_items.groups)
