"""Trivial forecasts: persistence, the value a season ago; and exponential smoothing of all that came before.

The value a season ago has Gaussian intervals whose width at each step ahead is that of the errors in train.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from genfoundry.data.iterate import iter_batches
from genfoundry.data.transforms.seasonality import find_season
from genfoundry.evaluation.baselines import exponential_smoothing
from genfoundry.evaluation.baselines.base import Known, Row
from genfoundry.evaluation.objectives import QUANTILES
from genfoundry.evaluation.predictions import Answers
from genfoundry.splits import Seasonal
from genfoundry.types import Batch

if TYPE_CHECKING:
    from genfoundry.data.splits import series
    from genfoundry.splits import Split

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
    found, whole = anchors(known), _held(known.train.tensor.double().cpu().numpy())
    context, train = known.train.spec.cond_shape[0], known.train
    lag = train.season if isinstance(train, Seasonal) else find_season(whole, context)
    if 0 < lag <= context:
        found.append(_row(f"seasonal-naive-{lag}", "baseline", train, _a_season_ago(lag)))
    if len(whole) > 20:
        found.append(_smoothing(known, lag if 2 * lag <= len(whole) else 0))
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


def _smoothing(known: Known, lag: int) -> Row:
    """Exponential smoothing of all rows before an origin, a column at a time: what a forecaster would run every day.

    Its form is chosen on train; weights are fitted anew a few times a split; states follow every row.
    """
    train = cast("series.SeriesSplit", known.train)
    parts = sorted((train, *cast("Iterable[series.SeriesSplit]", known.held.values())), key=lambda part: part.start)
    whole = _held(torch.cat([part.tensor for part in parts]).cpu().numpy())
    chosen = [exponential_smoothing.chosen(x[: len(train.tensor)], lag, train.window) for x in whole.T]

    def answer(split: Split) -> Answers:
        origins, horizon, ahead = cast("series.SeriesSplit", split).origins.numpy(), split.spec.shape[0], []
        for x, form in zip(whole.T, chosen, strict=True):
            reach = exponential_smoothing.deviations(x[: origins[0]], form, horizon)  # (T,)
            middle = exponential_smoothing.forecasts(x, origins, form, horizon)  # (N, T)
            ahead.append([middle + NormalDist().inv_cdf(q) * reach for q in QUANTILES])
        return {"forecast": torch.from_numpy(np.array(ahead)).permute(2, 1, 3, 0)}

    return Row("ets", "reference", "none", answer)


def _row(name: str, role: Any, train: Split, point: Point) -> Row:
    def points(split: Split, index: torch.Tensor | None = None) -> tuple[Floats, Floats]:
        parts = list(iter_batches(split, index))
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
    spread = train.tensor.to(torch.float64).diff(dim=0).square().nanmean(0).sqrt()  # (D,)

    def answer(split: Split) -> Answers:
        parts = list(iter_batches(split))
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
