"""Intervals of squared distances of two samples, and of the difference of two, without any draws."""

from __future__ import annotations

import math

from genfoundry.evaluation.bootstrap import Estimate, Part, spread


def squared_distance(value: float, squared: float, bias: float, *parts: Part) -> Estimate:
    """A squared distance of two samples, with an interval that holds where they agree as where they differ.

    To first order the variance is V, that of the parts (the influence of each item, as the samples are), but where the
    distributions agree these influences are noise of which V counts twice what there is. The distance is that of two
    mean features, |d + e|^2, so the variance grows with |d|^2: it is k (bias / 2 + theta) at a true distance theta,
    with k = V / `squared`. The interval holds each theta from which the estimate is not further than t of its own
    standard errors (as Wilson's of a share). Where theta is about as large as its noise and that lies in few
    directions, it holds nearer 90% than 95%; with few groups the noise is no longer normal.

    Args:
        value: the figure as it is stated.
        squared: the squared distance of the samples, its bias included.
        bias: what it is on average where the distributions agree.
        parts: influence of each item of either sample.
    """
    found = spread(*parts)
    if not (math.isfinite(squared) and math.isfinite(found.variance)):
        return Estimate(value, found.n, found.groups)
    grows = found.variance / squared if squared > 0 else 0.0
    theta, t = squared - bias, found.quantile
    at_none = grows * bias / 2
    middle, reach = theta + t * t * grows / 2, t * math.sqrt(at_none + grows * max(theta, 0) + t * t * grows**2 / 4)
    flat = t * math.sqrt(at_none)
    low = theta - flat if theta <= flat else middle - reach
    high = theta + flat if theta <= -flat else middle + reach
    move, stderr = value - theta, math.sqrt(at_none + grows * max(theta, 0.0))
    return Estimate(value, found.n, found.groups, stderr, min(low + move, value), max(high + move, value))


def difference_of_distances(value: float, squared: float, bias: float, *parts: Part) -> Estimate:
    """The difference of two squared distances; `squared` and `bias` are means over the two.

    The variance is that of `parts` less what is counted twice, as for `squared_distance`. Where both samples agree
    with the real items the interval is too wide, for it holds more than 95%.
    """
    found = spread(*parts)
    once = max(1 - bias / (2 * squared), 0.5) if squared > 0 else 1.0
    stderr = math.sqrt(found.variance * once)
    reach = found.quantile * stderr
    return Estimate(value, found.n, found.groups, stderr, value - reach, value + reach)
