"""How much better a candidate must be, so that the luck of a training seed does not make it a champion.

Training the same recipe again with another seed gives another figure. Of `WEEKS` retrainings in a year, compared one
after another with the same champion, the luckiest leads by far more than one retraining would: the margin therefore is
Dunnett's one-sided critical value of many candidates against one control (J. Am. Stat. Assoc. 50, 1955), which knows
that the standard deviation itself was estimated from a few seeds. It imports scipy where it computes alone.
"""

from __future__ import annotations

import math
from functools import cache

WEEKS = 52  # retrainings that are compared with a champion
RISK = 0.05  # probability that any of them takes over though its recipe is the champion's


@cache
def dunnett_critical_value(seeds: int, comparisons: int = WEEKS) -> float:
    """The margin in standard deviations over `seeds` trainings: 11.0 at three, 6.5 at five, 4.1 were they known.

    It is the c with P(max(x_1 .. x_k) - x_0 > c s) = `RISK` for k comparisons, x_i ~ N(0, sigma^2) and
    s^2 ~ sigma^2 chi^2(seeds - 1) / (seeds - 1), all independent. For a single comparison sqrt(2) times
    the two-sided Student's t quantile would do (6.1 at three); a year of equal recipes has a new champion 15% of the
    time by that.

    Raises:
        ValueError: fewer than two seeds, which tell nothing about what a seed changes.
    """
    if seeds < 2:
        raise ValueError(f"expected 2 or more seeds, got {seeds}")
    import numpy as np
    from scipy.optimize import brentq
    from scipy.special import gammaln, ndtr

    freedom = seeds - 1
    x = np.linspace(-8, 8, 161)[:, None]
    u = np.linspace(-14, 3, 241)[None]  # log of s / sigma
    log = math.log(2) + freedom / 2 * math.log(freedom / 2) - gammaln(freedom / 2)
    weight = np.exp(-(x**2) / 2) * np.exp(log + freedom * u - freedom / 2 * np.exp(2 * u))
    weight /= weight.sum()

    def excess(c: float) -> float:
        return float(RISK - (weight * -np.expm1(comparisons * np.log(ndtr(x + c * np.exp(u)) + 1e-300))).sum())

    return round(float(brentq(excess, 0.0, 1e4, xtol=1e-4)), 2)  # rounded: the same on every processor


def compute_seed_margin(spread: float, seeds: int) -> float:
    """The margin, in the objective's unit, that a standard deviation `spread` over so many seeds asks for."""
    return dunnett_critical_value(seeds) * spread if spread else 0.0


def compute_seed_gap(first: float, second: float, seeds: tuple[int, int]) -> float:
    """What two trainings of recipes with these standard deviations differ by at most, 95% of the time, by luck alone.

    Welch's t interval of the difference of one training each: the degrees of freedom are Satterthwaite's.
    """
    from scipy.special import stdtrit

    total = first**2 + second**2
    if not total:
        return 0.0
    freedom = total**2 / sum(s**4 / (n - 1) for s, n in zip((first, second), seeds, strict=True) if s)
    return float(stdtrit(freedom, 0.975)) * math.sqrt(total)
