"""Baseline forecasts: persistence, the value a season ago (seasonal naive), and exponential smoothing.

Intervals are Gaussian. Those of the seasonal naive forecast have at each step ahead the spread of its errors in train.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from genfoundry.data.iterate import iter_batches
from genfoundry.data.transforms.seasonality import find_season
from genfoundry.evaluation.baselines.base import Baseline, BaselineInputs
from genfoundry.evaluation.baselines.exponential_smoothing import choose_form, forecast, forecast_rmse
from genfoundry.evaluation.metric import QUANTILES
from genfoundry.evaluation.scores import Outputs
from genfoundry.splits import Seasonal
from genfoundry.types import Batch

if TYPE_CHECKING:
    from genfoundry.data.splits import series
    from genfoundry.splits import Split

Floats = NDArray[np.float64]
WINDOWS = 100  # of train, that the spread of the seasonal naive forecast is measured on


def fit_anchors(inputs: BaselineInputs) -> list[Baseline]:
    """Persistence, where windows have a past."""
    return [_fit_persistence(inputs.train)] if inputs.train.spec.cond_shape is not None else []


def fit_baselines(inputs: BaselineInputs) -> list[Baseline]:
    """Persistence, seasonal naive where a season shows in train, exponential smoothing."""
    if inputs.train.spec.cond_shape is None:
        return []
    baselines, values = fit_anchors(inputs), _forward_fill(inputs.train.tensor.double().cpu().numpy())
    context, train = inputs.train.spec.cond_shape[0], inputs.train
    lag = train.season if isinstance(train, Seasonal) else find_season(values, context)
    if 0 < lag <= context:
        baselines.append(_fit_seasonal_naive(train, lag))
    if len(values) > 20:
        baselines.append(_fit_smoothing(inputs, lag if 2 * lag <= len(values) else 0))
    return baselines


def _forward_fill(x: Floats) -> Floats:
    """(L, D) values, a missing one replaced by the one before; those before the first by the first."""
    known = ~np.isnan(x)
    index = np.maximum.accumulate(np.where(known, np.arange(len(x))[:, None], -1), 0)  # row of the last known value
    index = np.where(index < 0, known.argmax(0), index)  # the first known value
    return np.nan_to_num(np.take_along_axis(x, index, 0))


def _past(batch: Batch) -> Floats:
    """(B, P, D): the past without the rows' numbers."""
    assert batch.cond is not None
    return np.asarray(batch.cond[..., : batch.x.shape[-1]].double().cpu().numpy())


def _gaussian_quantiles(mean: Any, spread: Any) -> list[Any]:
    return [mean + NormalDist().inv_cdf(q) * spread for q in QUANTILES]


def _fit_smoothing(inputs: BaselineInputs, lag: int) -> Baseline:
    """Exponential smoothing of all rows before an origin, a column at a time: what a forecaster would run every day.

    Its form is chosen on train; parameters are fitted anew a few times a split; states are filtered through every row.
    """
    train = cast("series.SeriesSplit", inputs.train)
    parts = sorted(
        (train, *cast("Iterable[series.SeriesSplit]", inputs.held_out.values())), key=lambda part: part.start
    )
    values = _forward_fill(torch.cat([part.tensor for part in parts]).cpu().numpy())  # (L, D)
    forms = [choose_form(x[: len(train.tensor)], lag, train.window) for x in values.T]

    def predict(split: Split) -> Outputs:
        origins, horizon, quantiles = cast("series.SeriesSplit", split).origins.numpy(), split.spec.shape[0], []
        for x, form in zip(values.T, forms, strict=True):
            spread = forecast_rmse(x[: origins[0]], form, horizon)  # (T,)
            quantiles.append(_gaussian_quantiles(forecast(x, origins, form, horizon), spread))  # Q times (N, T)
        return {"forecast": torch.from_numpy(np.array(quantiles)).permute(2, 1, 3, 0)}  # (N, Q, T, D)

    return Baseline("ets", "reference", "none", predict)


def _fit_seasonal_naive(train: Split, lag: int) -> Baseline:
    """The value a season of `lag` rows ago."""

    def forecast_windows(split: Split, index: torch.Tensor | None = None) -> tuple[Floats, Floats]:
        """Forecasts and truth, (N, T, D) each."""
        parts = list(iter_batches(split, index))
        truth = np.concatenate([b.x.double().cpu().numpy() for b in parts])
        ago = np.arange(truth.shape[1]) % lag - lag  # (T,), from the window's start
        return np.stack([_forward_fill(past)[len(past) + ago] for b in parts for past in _past(b)]), truth

    some = torch.arange(len(train))[:: max(1, len(train) // WINDOWS)]
    fitted, truth = forecast_windows(train, some)
    spread = np.sqrt(np.nanmean((fitted - truth) ** 2, 0))  # (T, D)

    def predict(split: Split) -> Outputs:
        quantiles = _gaussian_quantiles(forecast_windows(split)[0], spread)
        return {"forecast": torch.from_numpy(np.stack(quantiles, 1))}  # (N, Q, T, D)

    return Baseline(f"seasonal-naive-{lag}", "baseline", "none", predict)


def _fit_persistence(train: Split) -> Baseline:
    """A Gaussian random walk with train's variance of a step in each column: forecasts, intervals and a likelihood.

    Over a gap of k - 1 missing values a step has k times the variance.
    """
    stddev = train.tensor.to(torch.float64).diff(dim=0).square().nanmean(0).sqrt()  # (D,)

    def predict(split: Split) -> Outputs:
        parts = list(iter_batches(split))
        x = torch.cat([b.x for b in parts]).to(torch.float64)  # (N, T, D)
        # (N, P + T, D)
        values = torch.cat([torch.from_numpy(np.concatenate([_past(b) for b in parts])).to(x.device), x], 1)
        row = torch.arange(values.shape[1], device=x.device)[:, None]
        last = torch.where(values.isnan(), -1, row).cummax(1).values  # the row, of those not missing
        before, now = last[:, -x.shape[1] - 1 : -1], row[-x.shape[1] :]
        wide = stddev * (now - before).clamp_min(1).sqrt()  # a random walk over that many rows
        value = values.nan_to_num().gather(1, before.clamp_min(0))
        steps = (x - value) / wide  # standard normal
        density = 0.5 * steps.square() + wide.log() + 0.5 * math.log(2 * math.pi)
        spread = stddev * (now - before[:, :1]).sqrt()  # (N, T, D)
        quantiles = _gaussian_quantiles(value[:, :1], spread)
        return {"nll": torch.where(x.isnan(), 0.0, density).sum((1, 2)), "forecast": torch.stack(quantiles, 1)}

    return Baseline("persistence", "baseline", "exact", predict)
