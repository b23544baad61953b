"""The area under the ROC curve, with its interval."""

from __future__ import annotations

import numpy as np

from genfoundry.evaluation.bootstrap import Estimate, Part, estimate_sum_of_means
from genfoundry.evaluation.scores import Array


def compute_auroc(first: Part, second: Part) -> Estimate:
    """How often a value of `second` is above one of `first`, ties by half: the area under the ROC curve.

    Both come with the groups of their items. The area is the mean of the placements of either sample, by which its
    variance is (DeLong et al. 1988); of groups (Obuchowski 1997), those that both samples have are one.
    """
    (a, of_a), (b, of_b) = first, second
    below, above = compute_placements(b, a), 1 - compute_placements(a, b)  # (m,), (n,)
    return estimate_sum_of_means(float(above.mean()), (above, of_a), (below, of_b)).within(0, 1)


def compute_placements(values: Array, among: Array) -> Array:
    """(n,) shares of `among` that are below each of `values`, ties by half."""
    order = np.sort(among)
    return np.asarray((np.searchsorted(order, values) + np.searchsorted(order, values, "right")) / (2 * len(among)))
