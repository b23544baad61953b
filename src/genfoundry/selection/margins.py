"""Promotion margins: how much better a candidate must be, so that no lucky training seed becomes the champion.

Training the same recipe again with another seed gives another value. Of `WEEKS` retrainings in a year, compared one
after another with the same champion, the luckiest leads by far more than one retraining would. The margin is therefore
Dunnett's one-sided critical value of many candidates against one control (J. Am. Stat. Assoc. 50, 1955), which allows
for a standard deviation that was itself estimated from a few seeds. scipy is imported only where it computes.
"""

from __future__ import annotations

import math
from functools import cache

WEEKS = 52  # retrainings that are compared with a champion
RISK = 0.05  # probability that any of them takes over though its recipe is the champion's


@cache
def dunnett_critical_value(seeds: int, comparisons: int = WEEKS) -> float:
    """Dunnett's one-sided critical value in standard deviations: 11.0 at three seeds, 6.5 at five, 4.1 at infinity.

    It is the c with P(max(x_1 .. x_k) - x_0 > c s) = `RISK` for k comparisons, x_i ~ N(0, sigma^2) and
    s^2 ~ sigma^2 chi^2(seeds - 1) / (seeds - 1), all independent. For a single comparison sqrt(2) times
    the two-sided Student's t quantile would do (6.1 at three seeds), but a year of equal recipes would then have a new
    champion 15% of the time.

    Raises:
        ValueError: fewer than two seeds, which give no standard deviation.
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
    """The margin, in the objective's unit, for a standard deviation `spread` over so many training seeds."""
    return dunnett_critical_value(seeds) * spread if spread else 0.0


def compute_seed_gap(first: float, second: float, seeds: tuple[int, int]) -> float:
    """The difference that two trainings with these standard deviations stay within 95% of the time by chance alone.

    It is the half width of Welch's t interval of one training each, with Satterthwaite's degrees of freedom.
    """
    from scipy.special import stdtrit

    total = first**2 + second**2
    if not total:
        return 0.0
    freedom = total**2 / sum(s**4 / (n - 1) for s, n in zip((first, second), seeds, strict=True) if s)
    return float(stdtrit(freedom, 0.975)) * math.sqrt(total)
