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
from genfoundry.metrics import QUANTILES

if TYPE_CHECKING:
    from genfoundry.data.base import Split

Floats = NDArray[np.float64]
Point = Callable[[Floats, int], Floats]  # the past (P, D) and a horizon T -> (T, D)
WINDOWS = 100  # of train, that intervals are measured on


def anchors(known: Known) -> list[Row]:
    """Persistence, where windows have a past."""
    return [_persistence(known.train)] if known.train.spec.cond_shape is not None else []


def rows(known: Known) -> list[Row]:
    """Persistence, seasonal naive where a season shows in train, exponential smoothing."""
    if known.train.spec.cond_shape is None:
        return []
    found, whole = anchors(known), known.train.whole.double().cpu().numpy()
    lag = season(whole, known.train.spec.cond_shape[0])
    if lag:
        found.append(_row(f"seasonal-naive-{lag}", "baseline", known.train, _a_season_ago(lag)))
    if known.train.spec.cond_shape[0] >= 3 and len(whole) > 20:
        found.append(_row("ets", "reference", known.train, _smoothed(whole, lag if 2 * lag <= len(whole) else 0)))
    return found


def season(whole: Floats, longest: int) -> int:
    """The lag, 2 to `longest`, of the highest peak of the columns' mean autocorrelation; 0 where none is above 0.2."""
    longest = min(longest, len(whole) // 3)
    x = whole - whole.mean(0)
    power = np.maximum((x * x).sum(0), 1e-300)
    r = np.array([((x[k:] * x[: len(x) - k]).sum(0) / power).mean() for k in range(longest + 2)])
    peaks = [k for k in range(2, longest + 1) if r[k] > max(r[k - 1], r[k + 1], 0.2)]
    return max(peaks, key=lambda k: r[k], default=0)


def _a_season_ago(lag: int) -> Point:
    def point(past: Floats, horizon: int) -> Floats:
        return past[len(past) - lag + np.arange(horizon) % lag]

    return point


def _smoothed(whole: Floats, lag: int) -> Point:
    """Exponential smoothing, a column at a time: damped trend or none, season of `lag` or none, by AICc on train."""
    from statsmodels.tsa.holtwinters import ExponentialSmoothing

    def model(x: Floats, season: int, trend: bool, **start: Any) -> Any:
        kind: dict[str, Any] = {"trend": "add" if trend else None, "damped_trend": trend}
        kind |= {"seasonal": "add", "seasonal_periods": season} if season else {}
        return ExponentialSmoothing(x, **kind, **start)

    kinds = [(season, trend) for season in {0, lag} for trend in (False, True)]
    chosen = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the optimiser stopped at a bound is no news
        for x in whole.T:
            fits = [model(x, *kind, initialization_method="estimated").fit() for kind in sorted(kinds)]
            best = min(range(len(fits)), key=lambda i: float(fits[i].aicc))
            weights = {n: v for n, v in fits[best].params.items() if n.startswith(("smoothing", "damping")) and v == v}
            chosen.append((sorted(kinds)[best], weights))

    def point(past: Floats, horizon: int) -> Floats:
        ahead = []
        for x, ((season, trend), weights) in zip(past.T, chosen, strict=True):
            first = x[: max(season, 1)]
            start: dict[str, Any] = {"initialization_method": "known", "initial_level": float(first.mean())}
            start |= {"initial_trend": 0.0} if trend else {}
            start |= {"initial_seasonal": first - first.mean()} if season else {}
            ahead.append(model(x, season, trend, **start).fit(optimized=False, **weights).forecast(horizon))
        return np.stack(ahead, 1)

    return point


def _row(name: str, role: Any, train: Split, point: Point) -> Row:
    def points(split: Split, index: torch.Tensor | None = None) -> tuple[Floats, Floats]:
        parts = list(batches(split, index))
        past = np.concatenate([b.cond.double().cpu().numpy() for b in parts if b.cond is not None])
        truth = np.concatenate([b.x.double().cpu().numpy() for b in parts])
        return np.stack([point(p, truth.shape[1]) for p in past]), truth

    some = torch.arange(len(train))[:: max(1, len(train) // WINDOWS)]
    fitted, truth = points(train, some)
    reach = np.sqrt(((fitted - truth) ** 2).mean(0))  # (T, D)

    def answer(split: Split) -> Answers:
        middle = points(split)[0]
        bands = [middle + NormalDist().inv_cdf(q) * reach for q in QUANTILES]
        return {"forecast": torch.from_numpy(np.stack(bands, 1))}

    return Row(name, role, "none", answer)


def _persistence(train: Split) -> Row:
    """Tomorrow is today, plus Gaussian steps with train's variance a column: forecasts, intervals and a likelihood."""
    spread = train.whole.to(torch.float64).diff(dim=0).square().mean(0).sqrt()  # (D,)

    def answer(split: Split) -> Answers:
        parts = list(batches(split))
        x = torch.cat([b.x for b in parts]).to(torch.float64)  # (N, T, D)
        last = torch.cat([b.cond[:, -1:] for b in parts if b.cond is not None]).to(torch.float64)  # (N, 1, D)
        steps = torch.cat((last, x), 1).diff(dim=1) / spread
        nll = (0.5 * steps.square() + spread.log() + 0.5 * math.log(2 * math.pi)).sum((1, 2))
        reach = spread * torch.arange(1, x.shape[1] + 1, dtype=torch.float64).sqrt()[:, None]  # (T, D)
        return {"nll": nll, "forecast": torch.stack([last + NormalDist().inv_cdf(q) * reach for q in QUANTILES], 1)}

    return Row("persistence", "baseline", "exact", answer)
