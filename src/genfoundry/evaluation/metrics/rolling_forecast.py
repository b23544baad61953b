"""Errors of forecasts from every origin of a split at each horizon: rolling origins (Tashman 2000)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from genfoundry.evaluation import plots
from genfoundry.evaluation.bootstrap import Estimate, estimate_sum_of_means
from genfoundry.evaluation.metric import Draw, Metric
from genfoundry.evaluation.metrics import forecast_errors
from genfoundry.evaluation.scores import Array, Outputs, Scores, with_ids
from genfoundry.splits import Seasonal

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from genfoundry.evaluation.context import EvalContext
    from genfoundry.types import Batch

ORIGINS = 1000  # at most, evenly apart


def forecast_every_origin(model: Any, context: EvalContext) -> Outputs:
    """ "rolling_errors" and "naive_errors" (O, T, D), absolute, of the model and of the value a season ago.

    NaN stands where no value is known. An origin is any row after which a whole window and before which a whole past
    stand in the split.
    """
    import torch

    from genfoundry.data.iterate import EVAL_BATCH

    split = context.split
    if split.spec.cond_shape is None or not isinstance(split, Seasonal):
        return {}
    count = split.positions
    origins = torch.arange(count)[:: max(1, -(-count // ORIGINS))]  # evenly apart
    errors, naive = [], []
    for part in torch.split(origins, EVAL_BATCH):
        batch = split.train_batch(part.to(split.tensor.device)).to(model.device)
        assert batch.cond is not None
        middle = model.forecast(batch.cond, batch.x.shape[1], (0.5,))[:, 0].double()  # (B, T, D)
        errors.append((middle - batch.x).abs().cpu())
        naive.append((_repeat_season(batch, split.season) - batch.x).abs().cpu())
    return {"rolling_errors": torch.cat(errors), "naive_errors": torch.cat(naive)}


def _repeat_season(batch: Batch, season: int) -> Tensor:
    """(B, T, D): the value a season before each, as far as it is in the past; NaN where that is missing."""
    import torch

    assert batch.cond is not None
    past, lag = batch.cond[..., : batch.x.shape[-1]].double(), season if 0 < season <= batch.cond.shape[1] else 1
    return past[:, past.shape[1] - lag + torch.arange(batch.x.shape[1], device=past.device) % lag]  # (B, T, D)


def score_origins(outputs: Outputs, context: EvalContext) -> Scores:
    """ "rolling_mae" and "rolling_mase" (O, T): errors at O origins and T horizons, means over columns; NaN: none."""
    if "rolling_errors" not in outputs or not isinstance(context.split, Seasonal):
        return {}
    errors = {"rolling_mae": outputs["rolling_errors"], "rolling_mase": _scale(outputs["rolling_errors"], context)}
    return {name: np.asarray(error.nanmean(2).numpy(), np.float64) for name, error in errors.items()}


def _scale(errors: Tensor, context: EvalContext) -> Tensor:
    scaled: Tensor = errors / context.split.scale.cpu().double()  # type: ignore[attr-defined]
    return scaled


def plot_horizons(outputs: Outputs, context: EvalContext) -> dict[str, Draw]:
    """The error at each horizon beside that of the value a season ago (or the last one)."""
    if "rolling_errors" not in outputs or not isinstance(context.split, Seasonal):
        return {}
    season = context.split.season
    names = {"model": "rolling_errors", f"{season} rows ago" if season else "the last value": "naive_errors"}
    curves = {
        title: mean_by_horizon(_scale(outputs[name], context).nanmean(2).numpy()) for title, name in names.items()
    }
    return {"horizons": partial(_draw_curves, curves=curves)}


def _draw_curves(path: Path, curves: dict[str, Array]) -> None:
    points = {name: (np.arange(1, len(y) + 1).astype(np.float64), y) for name, y in curves.items()}
    plots.plot_lines(path, points, x="steps ahead", y="mean absolute scaled error", title="every origin of test")


def average_horizons(scores: Scores, dims: int, *, name: str) -> dict[str, Estimate]:
    """`rolling_<name>` of (O, T) errors, and `<name>_h1` ... of each horizon.

    Windows that overlap share values: where no groups are given, they are runs of origins, each as long as two windows
    (shorter, where there would not be five).
    """
    errors, ids = with_ids(scores, f"rolling_{name}")
    origins, steps = errors.shape
    present, means = ~np.isnan(errors), mean_by_horizon(errors)
    if ids is None:
        ids = np.arange(origins) * max(min(5, origins), origins // (2 * steps)) // origins
    horizons = present.any(0)
    # Scaled so that the mean over all origins is that over the origins with an error
    influence = np.where(present, errors - means, 0.0) * (origins / np.maximum(present.sum(0), 1))  # (O, T)
    estimates = {
        f"{name}_h{h + 1}": estimate_sum_of_means(float(means[h]), (influence[:, h], ids))
        for h in np.flatnonzero(horizons)
    }
    if horizons.any():
        mean = float(means[horizons].mean())
        estimates[f"rolling_{name}"] = estimate_sum_of_means(mean, (influence[:, horizons].mean(1), ids))
    return estimates


def mean_by_horizon(errors: Array) -> Array:
    """(T,) means over the origins at which there is an error; NaN where there is none."""
    present = ~np.isnan(errors)  # (O, T)
    mean: Array = np.where(present, errors, 0.0).sum(0) / np.where(present.any(0), present.sum(0), np.nan)
    return mean


METRICS = tuple(
    Metric(
        name=f"rolling_{metric.name}",
        title=f"{metric.title}, rolling",
        unit=metric.unit,
        direction="minimize",
        description=f"{metric.title} of forecasts from every origin of test, over all horizons",
        requires=forecast_errors.FORECAST,
        group="forecasts",
        inputs=(f"rolling_{metric.name}",),
        modalities=("series",),
        test_only=True,
        predict=forecast_every_origin,
        score=score_origins,
        statistics=partial(average_horizons, name=metric.name),
        plots=plot_horizons,
    )
    for metric in forecast_errors.METRICS
    if metric.name in ("mae", "mase")
)
