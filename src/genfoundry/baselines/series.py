"""Trivial forecasts: persistence, the value a season ago, and exponential smoothing (statsmodels).

The last two have Gaussian intervals whose width at each step ahead is that of the errors on train's own windows.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from genfoundry.baselines.base import Answers, Known, Row, batches
from genfoundry.data.base import Seasonal
from genfoundry.data.seasons import period
from genfoundry.metrics import QUANTILES
from genfoundry.types import Batch

if TYPE_CHECKING:
    from genfoundry.data.base import Split

Floats = NDArray[np.float64]
Point = Callable[[Floats, int], Floats]  # the past (P, D) and a horizon T -> (T, D)
ORDINARY = (0.1, 300.0)  # deviations, and the largest mean in them, at which exponential smoothing is fitted as it is
WINDOWS = 100  # of train, that intervals are measured on


def anchors(known: Known) -> list[Row]:
    """Persistence, where windows have a past."""
    return [_persistence(known.train)] if known.train.spec.cond_shape is not None else []


def rows(known: Known) -> list[Row]:
    """Persistence, seasonal naive where a season shows in train, exponential smoothing."""
    if known.train.spec.cond_shape is None:
        return []
    found, whole = anchors(known), _held(known.train.whole.double().cpu().numpy())
    context, train = known.train.spec.cond_shape[0], known.train
    lag = train.season if isinstance(train, Seasonal) else period(whole, context)
    if 0 < lag <= context:
        found.append(_row(f"seasonal-naive-{lag}", "baseline", train, _a_season_ago(lag)))
    if context >= 3 and len(whole) > 20:
        found.append(
            _row("ets", "reference", train, _smoothed(whole, lag if 2 * lag <= min(len(whole), context) else 0))
        )
    return found


def _held(x: Floats) -> Floats:
    """(L, D) values, a missing one the one before; those before the first, the first."""
    seen = ~np.isnan(x)
    at = np.maximum.accumulate(np.where(seen, np.arange(len(x))[:, None], -1), 0)
    at = np.where(at < 0, seen.argmax(0), at)
    return np.nan_to_num(np.take_along_axis(x, at, 0))


def _past(batch: Batch) -> Floats:
    """(B, P, D): the past without the rows' numbers."""
    assert batch.cond is not None
    found: Floats = batch.cond[..., : batch.x.shape[-1]].double().cpu().numpy()
    return found


def _a_season_ago(lag: int) -> Point:
    def point(past: Floats, horizon: int) -> Floats:
        return past[len(past) - lag + np.arange(horizon) % lag]

    return point


def _smoothed(whole: Floats, lag: int) -> Point:
    """Exponential smoothing, a column at a time: damped trend or none, season of `lag` or none, by AICc on train.

    statsmodels' optimiser stops by absolute tolerances: series of other units than it is made for get theirs.
    """
    from statsmodels.tsa.holtwinters import ExponentialSmoothing

    def model(x: Floats, season: int, trend: bool, **start: Any) -> Any:
        kind: dict[str, Any] = {"trend": "add" if trend else None, "damped_trend": trend}
        kind |= {"seasonal": "add", "seasonal_periods": season} if season else {}
        return ExponentialSmoothing(x, **kind, **start)

    kinds = [(season, trend) for season in {0, lag} for trend in (False, True)]
    centre, unit = _unit(whole)
    chosen = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the optimiser stopped at a bound is no news
        for x in ((whole - centre) / unit).T:
            fits = [model(x, *kind, initialization_method="estimated").fit() for kind in sorted(kinds)]
            best = min(range(len(fits)), key=lambda i: float(fits[i].aicc))
            weights = {n: v for n, v in fits[best].params.items() if n.startswith(("smoothing", "damping")) and v == v}
            chosen.append((sorted(kinds)[best], weights))

    def point(past: Floats, horizon: int) -> Floats:
        ahead = []
        for x, ((season, trend), weights) in zip(((past - centre) / unit).T, chosen, strict=True):
            first = x[: max(season, 1)]
            start: dict[str, Any] = {"initialization_method": "known", "initial_level": float(first.mean())}
            start |= {"initial_trend": 0.0} if trend else {}
            start |= {"initial_seasonal": first - first.mean()} if season else {}
            ahead.append(model(x, season, trend, **start).fit(optimized=False, **weights).forecast(horizon))
        return np.stack(ahead, 1) * unit + centre

    return point


def _unit(x: Floats) -> tuple[Floats, Floats]:
    """What to subtract from (L, D) values, and to divide them by: 0 and 1 where columns are ordinary."""
    mean, deviation = x.mean(0), x.std(0)
    ordinary = (deviation >= ORDINARY[0]) & (deviation <= ORDINARY[1]) & (np.abs(mean) <= ORDINARY[1] * deviation)
    ordinary |= deviation == 0
    return np.where(ordinary, 0.0, mean), np.where(ordinary, 1.0, deviation)


def _row(name: str, role: Any, train: Split, point: Point) -> Row:
    def points(split: Split, index: torch.Tensor | None = None) -> tuple[Floats, Floats]:
        parts = list(batches(split, index))
        truth = np.concatenate([b.x.double().cpu().numpy() for b in parts])
        return np.stack([point(_held(p), truth.shape[1]) for b in parts for p in _past(b)]), truth

    some = torch.arange(len(train))[:: max(1, len(train) // WINDOWS)]
    fitted, truth = points(train, some)
    reach = np.sqrt(np.nanmean((fitted - truth) ** 2, 0))  # (T, D)

    def answer(split: Split) -> Answers:
        middle = points(split)[0]
        bands = [middle + NormalDist().inv_cdf(q) * reach for q in QUANTILES]
        return {"forecast": torch.from_numpy(np.stack(bands, 1))}

    return Row(name, role, "none", answer)


def _persistence(train: Split) -> Row:
    """Tomorrow is today, plus Gaussian steps with train's variance a column: forecasts, intervals and a likelihood.

    Over a gap of k - 1 missing values a step has k times the variance.
    """
    spread = train.whole.to(torch.float64).diff(dim=0).square().nanmean(0).sqrt()  # (D,)

    def answer(split: Split) -> Answers:
        parts = list(batches(split))
        x = torch.cat([b.x for b in parts]).to(torch.float64)  # (N, T, D)
        both = torch.cat([torch.from_numpy(np.concatenate([_past(b) for b in parts])).to(x.device), x], 1)
        place = torch.arange(both.shape[1], device=x.device)[:, None]
        seen = torch.where(both.isnan(), -1, place).cummax(1).values  # where the last value stands that was there
        before, at = seen[:, -x.shape[1] - 1 : -1], place[-x.shape[1] :]
        wide = spread * (at - before).clamp_min(1).sqrt()
        value = both.nan_to_num().gather(1, before.clamp_min(0))
        steps = (x - value) / wide
        density = 0.5 * steps.square() + wide.log() + 0.5 * math.log(2 * math.pi)
        reach = spread * (at - before[:, :1]).sqrt()  # (N, T, D)
        last = value[:, :1]
        bands = [last + NormalDist().inv_cdf(q) * reach for q in QUANTILES]
        return {"nll": torch.where(x.isnan(), 0.0, density).sum((1, 2)), "forecast": torch.stack(bands, 1)}

    return Row("persistence", "baseline", "exact", answer)
