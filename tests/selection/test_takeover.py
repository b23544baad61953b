"""A year of retrainings, simulated: what takes over by luck, and what by being better."""

from __future__ import annotations

import numpy as np
import pytest

from genfoundry.selection import margins

YEARS = 4000
SEEDS = (2, 3, 5)
NORMAL = 1.96  # the interval's half, in standard errors


def standard_deviations(rng: np.random.Generator, seeds: int, size: tuple[int, ...]) -> np.ndarray:
    """Of so many trainings whose true standard deviation is 1."""
    return rng.normal(size=(*size, seeds)).std(-1, ddof=1)


def takeovers(
    seeds: int, share: float, *, own: bool = False, margin: float | None = None, recipes: int = 1
) -> np.ndarray:
    """(YEARS, WEEKS) whether each week's candidate, of the champion's recipe, would take over from the first champion.

    A training's luck has variance 1, of which `share` is luck item by item, that the interval of the paired improvement
    sees. The standard deviation is estimated once, before the year (`tasks:` in params.yaml); with `own` also from
    every week's own seeds, and from the champion's. Of several equal `recipes` the luckiest is the candidate, and was
    the champion.
    """
    rng = np.random.default_rng([seeds, round(100 * share), own])
    champion, luck = (rng.normal(size=(YEARS, weeks, recipes)).max(-1) for weeks in (1, margins.WEEKS))
    error = np.sqrt(2 * share)  # of the difference of two
    bound = (margin or margins.dunnett_critical_value(seeds)) * standard_deviations(rng, seeds, (YEARS, 1))
    if own:
        bound = np.maximum(bound, margins.dunnett_critical_value(seeds) * standard_deviations(rng, seeds, luck.shape))
    return luck - champion - NORMAL * error > bound


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.5])
@pytest.mark.parametrize("seeds", SEEDS)
def test_a_year_of_equal_recipes_takes_over_at_most_one_year_in_twenty(seeds: int, share: float, own: bool) -> None:
    for recipes in (1, 3):
        years = takeovers(seeds, share, own=own, recipes=recipes).any(1).mean()
        assert years <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / YEARS)


def test_two_standard_deviations_or_a_t_quantile_would_not_do() -> None:
    """The rule as it was, and one made for a single comparison, at three seeds."""
    was, once = (takeovers(3, 0.0, margin=m) for m in (2.0, 2**0.5 * 4.303))
    assert was.mean() > 0.13 and was.any(1).mean() > 0.6
    assert once.mean() < 0.03 and once.any(1).mean() > 0.12


@pytest.mark.parametrize("seeds", SEEDS)
def test_one_better_by_twice_the_margin_takes_over_at_the_first_retraining(seeds: int) -> None:
    rng = np.random.default_rng(seeds)
    champion, luck = rng.normal(size=(2, 10 * YEARS))
    bound = margins.dunnett_critical_value(seeds) * standard_deviations(rng, seeds, luck.shape)
    for share in (0.0, 0.25):
        won = luck - champion + 2 * bound - NORMAL * np.sqrt(2 * share) > bound
        assert won.mean() >= 0.95


def test_the_factor_is_dunnett_s() -> None:
    """Against the values of Dunnett's table 1a (one-sided, 5%): 10 degrees of freedom, one and nine comparisons."""
    assert margins.dunnett_critical_value(11, 1) / 2**0.5 == pytest.approx(1.81, abs=0.01)
    assert margins.dunnett_critical_value(11, 9) / 2**0.5 == pytest.approx(2.81, abs=0.03)
    assert margins.dunnett_critical_value(6, 4) / 2**0.5 == pytest.approx(2.85, abs=0.03)
    with pytest.raises(ValueError, match="expected 2 or more seeds, got 1"):
        margins.dunnett_critical_value(1)


def test_two_recipes_are_apart_by_more_than_luck() -> None:
    rng = np.random.default_rng(0)
    led = []
    for _ in range(3000):
        first, second = rng.normal(size=(2, 3))  # of one recipe: nothing tells them apart but luck
        luck = margins.compute_seed_gap(first.std(ddof=1), second.std(ddof=1), (3, 3))
        led.append(abs(rng.normal() - rng.normal()) > luck)
    assert np.mean(led) <= 0.055
    assert margins.compute_seed_gap(0.0, 0.0, (3, 3)) == 0.0
