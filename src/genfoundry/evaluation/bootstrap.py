"""Estimates with intervals from items that come in independent groups: standard errors over groups, cluster bootstrap.

An item's group is its independent unit: a play for its lines, a region for its patches, the item itself where items
are independent. Only groups are resampled, since items of one group are alike. Means have a closed form (CR2 standard
errors, a t quantile); other statistics of sums over items have the draws of a cluster bootstrap.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtri, stdtrit

from genfoundry.evaluation.scores import Array, Ids
from genfoundry.seeding import derive_seed

Part = tuple[Array, Ids | None]  # values of a sample's items (n,), and the groups of these; None: each its own
DRAWS = 1000  # of a bootstrap
TAIL = 0.975  # of a 95% interval, above
AT_ONCE = 2_000_000  # counts of a bootstrap that are in memory


@dataclass(frozen=True)
class Estimate:
    """A metric of `n` items in `groups` independent groups, its standard error and its 95% interval.

    `stderr`, `low` and `high` are NaN where nothing is known of them: of one group, or of a value that is not finite.
    """

    value: float
    n: int
    groups: int
    stderr: float = math.nan
    low: float = math.nan
    high: float = math.nan

    @property
    def has_interval(self) -> bool:
        """Whether both ends of the interval are finite."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    def within(self, least: float, most: float) -> Estimate:
        """Return the same with its interval cut to the range of the metric."""
        return replace(self, low=float(np.clip(self.low, least, most)), high=float(np.clip(self.high, least, most)))


@dataclass(frozen=True)
class Variance:
    """The variance of a sum of means, its degrees of freedom, and what it was measured on; NaN for one group."""

    variance: float
    freedom: float
    n: int
    groups: int

    @property
    def quantile(self) -> float:
        """Student's t quantile: the half-width of a 95% interval in standard errors."""
        return float(stdtrit(self.freedom, TAIL))


def estimate_variance(*parts: Part) -> Variance:
    """The variance of the sum of the parts' means: CR2 with Satterthwaite's degrees of freedom.

    The residual e_g of a group that has the share w_g of the items counts e_g^2 / (1 - w_g), which has no bias where
    items are independent and next to none where groups differ (Bell and McCaffrey 2002; Imbens and Kolesar 2016,
    arXiv:1210.1208); of items that are their own groups it is the ordinary variance of a mean, with n - 1 degrees of
    freedom. Parts without groups are independent samples; parts with groups share them by their ids.
    """
    moments = [_of_groups(errors, shares) for errors, shares in _grouped(parts)]
    n, groups = min(len(values) for values, _ in parts), min(count for _, _, count in moments)
    variances, freedoms = (np.array([moment[i] for moment in moments]) for i in (0, 1))
    total = float(variances.sum())
    if not total > 0:
        return Variance(total, float(freedoms.min()), n, groups)
    return Variance(total, float(total**2 / (variances**2 / freedoms).sum()), n, groups)  # Satterthwaite


def _grouped(parts: Sequence[Part]) -> Iterator[tuple[Array, Array]]:
    """(G,) residuals and (G,) shares of the items, of each collection of groups."""
    for values, ids in parts:
        if ids is None:
            yield (values - values.mean()) / len(values), np.full(len(values), 1 / len(values))
    clustered = [(values, ids) for values, ids in parts if ids is not None]
    if clustered:
        names, places = np.unique(np.concatenate([ids for _, ids in clustered]), return_inverse=True)
        at = np.split(places, np.cumsum([len(ids) for _, ids in clustered])[:-1])
        errors, shares = np.zeros(len(names)), np.zeros(len(names))
        for (values, _), place in zip(clustered, at, strict=True):
            # A group's residuals in all parts add up, as it moves the means of all of them
            errors += np.bincount(place, values - values.mean(), len(names)) / len(values)
            shares += np.bincount(place, minlength=len(names)) / len(values) / len(clustered)
        yield errors, shares


def _of_groups(errors: Array, shares: Array) -> tuple[float, float, int]:
    """Variance, degrees of freedom, number of groups."""
    if len(errors) < 2:
        return math.nan, math.nan, len(errors)
    # Degrees of freedom of CR2 for a mean (Imbens and Kolesar 2016)
    counting = shares * shares / (1 - shares)
    freedom = 1 / ((shares * shares).sum() + counting.sum() ** 2 - (counting * counting).sum())
    return float((errors * errors / (1 - shares)).sum()), float(freedom), len(errors)


def estimate_sum_of_means(value: float, *parts: Part) -> Estimate:
    """`value` with the t interval of the sum of the parts' means: of a mean, or of what is one to first order."""
    with np.errstate(invalid="ignore"):  # of a model that diverged there is no interval
        total = estimate_variance(*parts)
    stderr = math.sqrt(total.variance)
    reach = total.quantile * stderr
    return Estimate(value, total.n, total.groups, stderr, value - reach, value + reach)


def estimate_mean(items: object, ids: Ids | None = None) -> Estimate:
    """The mean of `items` (n, ...); its interval is t's, or Wilson's where every item is 0 or 1.

    Wilson's holds near 0 and 1, where t's does not; its number of items is that of independent ones which would give
    the same variance (Kish's effective sample size), and the number of groups where all items are alike.
    """
    values = np.asarray(items, np.float64)
    values = values.reshape(len(values), -1).mean(1)  # (n,)
    by_t = estimate_sum_of_means(float(values.mean()), (values, ids))
    if by_t.groups < 2 or not ((values == 0) | (values == 1)).all():
        return by_t
    p, t = by_t.value, estimate_variance((values, ids)).quantile
    n = min(p * (1 - p) / by_t.stderr**2, by_t.n) if by_t.stderr > 0 else by_t.groups  # Kish
    middle, reach = p + t * t / (2 * n), t * math.sqrt(p * (1 - p) / n + (t / (2 * n)) ** 2)  # Wilson (1927)
    low, high = ((middle + sign * reach) / (1 + t * t / n) for sign in (-1, 1))
    # Rounding may leave the estimate just outside
    return replace(by_t, low=min(low, p), high=max(high, p))


def bootstrap_sums(name: str, statistic: Callable[[Array], Array], sums: Array, ids: Ids | None = None) -> Estimate:
    """A statistic of sums over items, its interval from a cluster bootstrap of `DRAWS` draws.

    Args:
        name: seeds the draws.
        statistic: (R, K) sums over items -> (R,) values; of sums that are means times n, `sums` has a column of ones.
        sums: (n, K) what an item adds.
        ids: (n,) groups.
    """
    grouped = sums if ids is None else _sum_by_group(sums, ids)
    value = float(statistic(sums.sum(0, keepdims=True))[0])
    drawn = np.concatenate([statistic(counts @ grouped) for counts in draw_resamples(name, len(grouped))])  # (DRAWS,)
    return estimate_from_draws(value, drawn, len(sums), group_shares(ids, len(sums)))


def resample_counts(name: str, counts: Ids, *, unseen: bool) -> Array:
    """(`DRAWS`, K) counts of n items resampled with replacement, of which `counts` (K,) were of each class.

    With `unseen`, classes without an item may be drawn too: they share the probability that Good (1953, after Turing)
    estimates of what was not seen, the share of the classes with one item. A statistic of how many classes there are
    would else vary too little, for a resample can only lose some.
    """
    rng, n = np.random.default_rng(derive_seed("bootstrap", name)), int(counts.sum())
    p, none, once = counts / n, counts == 0, int((counts == 1).sum())
    if unseen and none.any() and once < n:
        p = np.where(none, once / n / none.sum(), p * (1 - once / n))
    return rng.multinomial(n, p, DRAWS).astype(np.float64)


def estimate_from_draws(value: float, drawn: Array, n: int, shares: Array) -> Estimate:
    """`value` with the percentile interval of a bootstrap's draws, moved to be centred at it.

    The move: a resample holds fewer distinct items, which shifts many a statistic and must not pass for spread. The
    interval is widened by what few groups (of `shares` of the items) lack: t's quantile over the normal one, and the
    square root of 1 - sum of squared shares, which a resampled variance is too small by.
    """
    if len(shares) < 2:
        return Estimate(value, n, len(shares))
    short = 1 / math.sqrt(1 - float((shares * shares).sum()))
    freedom = _of_groups(np.zeros(len(shares)), shares)[1]
    wide = short * float(stdtrit(freedom, TAIL)) / float(ndtri(TAIL))
    low, high = wide * (np.quantile(drawn, (1 - TAIL, TAIL)) - drawn.mean())
    stderr = short * float(drawn.std(ddof=1))
    # The interval holds the value, whatever the draws
    return Estimate(value, n, len(shares), stderr, value + min(float(low), 0.0), value + max(float(high), 0.0))


def group_shares(ids: Ids | None, n: int) -> Array:
    """Return the shares (G,) of n items that are in each group."""
    return np.full(n, 1 / n) if ids is None else np.unique(ids, return_counts=True)[1] / n


def draw_resamples(name: str, groups: int) -> Iterator[Array]:
    """`DRAWS` resamples of groups in chunks (rows, groups): how often each group was drawn with replacement."""
    rng, rows = np.random.default_rng(derive_seed("bootstrap", name)), max(1, AT_ONCE // groups)
    for at in range(0, DRAWS, rows):
        size = min(rows, DRAWS - at)
        # Each resample counts in a block of its own, so that one bincount serves all
        drawn = rng.integers(0, groups, (size, groups)) + groups * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * groups).reshape(size, groups).astype(np.float64)


def _sum_by_group(values: Array, ids: Ids) -> Array:
    """(G, K) sums of (n, K) values."""
    order = np.argsort(ids, kind="stable")
    starts = np.unique(ids[order], return_index=True)[1]
    return np.asarray(np.add.reduceat(values[order], starts, axis=0))


def bootstrap_medians(name: str, items: Array, ids: Ids | None = None) -> Array:
    """(`DRAWS`,) medians of `items` (n,) resampled by groups: the lower one where there are two."""
    order = np.argsort(items, kind="stable")
    places = order if ids is None else np.unique(ids, return_inverse=True)[1][order]
    parts = []
    for counts in draw_resamples(name, int(places.max()) + 1):
        below = np.cumsum(counts[:, places], axis=1)  # (rows, n)
        parts.append(items[order][(below < below[:, -1:] / 2).sum(1)])
    return np.concatenate(parts)
