"""Intervals of squared distances of two samples, and of the difference of two, without any draws."""

from __future__ import annotations

import math

from genfoundry.evaluation.bootstrap import Estimate, estimate_variance
from genfoundry.evaluation.metric import Distance


def distance_estimate(distance: Distance) -> Estimate:
    """A squared distance of two samples, with an interval that holds where they agree as where they differ.

    To first order the variance is V, that of the parts (the influence of each item, as the samples are), but where the
    distributions agree these influences are noise of which V counts twice what there is. The distance is that of two
    mean features, |d + e|^2, so the variance grows with |d|^2: it is k (bias / 2 + theta) at a true distance theta,
    with k = V / `squared`. The interval holds each theta from which the estimate is not further than t of its own
    standard errors (as Wilson's of a share). Where theta is about as large as its noise and that lies in few
    directions, it holds nearer 90% than 95%; with few groups the noise is no longer normal.
    """
    value, squared, bias = distance.value, distance.squared, distance.bias
    total = estimate_variance((distance.of_fake, None), (distance.of_real, distance.ids))
    if not (math.isfinite(squared) and math.isfinite(total.variance)):
        return Estimate(value, total.n, total.groups)
    grows = total.variance / squared if squared > 0 else 0.0  # k
    theta, t = squared - bias, total.quantile
    at_none = grows * bias / 2  # at a true distance of 0
    # The ends solve |estimate - theta| = t sqrt(k (bias / 2 + theta)), as in Wilson's interval
    middle, reach = theta + t * t * grows / 2, t * math.sqrt(at_none + grows * max(theta, 0) + t * t * grows**2 / 4)
    flat = t * math.sqrt(at_none)  # below 0 the variance stays as at 0
    low = theta - flat if theta <= flat else middle - reach
    high = theta + flat if theta <= -flat else middle + reach
    # A metric that is stated with its bias has an interval about the biased value
    move, stderr = value - theta, math.sqrt(at_none + grows * max(theta, 0.0))
    return Estimate(value, total.n, total.groups, stderr, min(low + move, value), max(high + move, value))


def distance_difference(first: Distance, second: Distance) -> Estimate:
    """The first distance less the second, of two generated samples from the same real items.

    The variance is that of the items' influences less what is counted twice, as for `distance_estimate`. Where both
    samples agree with the real items the interval is too wide, for it holds more than 95%.
    """
    value, squared = first.value - second.value, (first.squared + second.squared) / 2
    bias, real = (first.bias + second.bias) / 2, first.of_real - second.of_real
    total = estimate_variance((first.of_fake, None), (-second.of_fake, None), (real, first.ids))
    # Noise that V counts twice where the samples agree; see `distance_estimate`
    once = max(1 - bias / (2 * squared), 0.5) if squared > 0 else 1.0
    stderr = math.sqrt(total.variance * once)
    reach = total.quantile * stderr
    return Estimate(value, total.n, total.groups, stderr, value - reach, value + reach)
