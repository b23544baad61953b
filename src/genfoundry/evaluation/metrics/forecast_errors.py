"""Forecasts of every window after its past: errors of the median, and how often the 90% interval holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genfoundry.evaluation.metric import QUANTILES, Metric, Requirement
from genfoundry.evaluation.scores import Array, Outputs, Scores, add_groups
from genfoundry.splits import Seasonal

if TYPE_CHECKING:
    from genfoundry.evaluation.context import SplitContext
    from genfoundry.splits import Split


def forecast(model: Any, context: SplitContext) -> Outputs:
    """ "forecast" (N, len(QUANTILES), T, D), float64: quantiles of each window after its past."""
    import torch

    from genfoundry.data.iterate import EVAL_BATCH, iter_batches

    split = context.split
    if split.spec.cond_shape is None:
        return {}
    pasts = [b.cond for b in (b.to(model.device) for b in iter_batches(split, size=EVAL_BATCH)) if b.cond is not None]
    horizon = split.spec.shape[0]
    return {"forecast": torch.cat([model.forecast(past, horizon, QUANTILES).cpu().double() for past in pasts])}


def read_truth(split: Split) -> Array:
    """(N, T, D) values that came after each window's past; NaN where one is missing."""
    import torch

    from genfoundry.data.iterate import iter_batches

    return np.asarray(torch.cat([b.x for b in iter_batches(split)]).cpu().double().numpy())


def weigh_values(truth: Array) -> tuple[NDArray[np.bool_], Array]:
    """Windows in which a value is there (N,), and of these the weights (n, T, D) of a mean over the values."""
    present = ~np.isnan(truth)  # (N, T, D)
    some: NDArray[np.bool_] = np.asarray(present.any((1, 2)))  # (N,)
    return some, (present / np.maximum(present.sum((1, 2), keepdims=True), 1))[some]


def score_forecast(outputs: Outputs, context: SplitContext) -> Scores:
    """ "mae", "mase" and "dtw" of the median and "covered", the share of values in the 90% interval.

    Over the values that are there, of windows in which one is; "dtw" over the rows in which no value is missing.
    """
    import torch

    if "forecast" not in outputs:
        return {}
    split, truth = context.split, read_truth(context.split)
    low, middle, high = outputs["forecast"].double().numpy().transpose(1, 0, 2, 3)  # (N, T, D) each
    some, weight = weigh_values(truth)
    # A missing value counts as the forecast itself: error 0, and weight 0
    error = np.abs(middle - np.where(np.isnan(truth), middle, truth))[some]
    scores = {"mae": (error * weight).sum((1, 2))}
    if isinstance(split, Seasonal):
        scores["mase"] = (error / split.scale.cpu().double().numpy() * weight).sum((1, 2))
    scores["covered"] = (((low <= truth) & (truth <= high))[some] * weight).sum((1, 2))
    rows: NDArray[np.bool_] = np.asarray(~np.isnan(truth).any(2))  # (N, T)
    warps = [warp_distance(a[r], b[r]) for a, b, r in zip(middle, truth, rows, strict=True) if r.any()]
    of_some, of_rows = (torch.from_numpy(np.flatnonzero(x)) for x in (some, rows.any(1)))
    return add_groups(scores, split, of_some) | add_groups({"dtw": np.array(warps)}, split, of_rows)


def warp_distance(a: Array, b: Array) -> float:
    """Dynamic-time-warping distance of two series (T, D): root of the least sum of squares over alignments."""
    from dtaidistance import dtw_ndim

    first, second = (np.ascontiguousarray(x, np.float64) for x in (a, b))  # as its C code reads
    return float(dtw_ndim.distance_fast(first, second))


FORECAST = Requirement("forecast", ("Forecasts",), lambda model, judge: "does not forecast", reference="no forecast")


def _forecast(name: str, unit: str, description: str, **more: Any) -> Metric:
    defaults: dict[str, Any] = {"title": name.upper(), "direction": "minimize", "objective": True}
    return Metric(
        name=name,
        unit=unit,
        description=description,
        requires=FORECAST,
        group="forecasts",
        inputs=(name,),
        modalities=("series",),
        predict=forecast,
        score=score_forecast,
        **{**defaults, **more},
    )


METRICS = (
    _forecast("mae", "the series' unit", "mean absolute error of the median forecast"),
    _forecast(
        "mase",
        "seasonal-naive errors in train",
        "mean absolute scaled error of the median forecast (Hyndman and Koehler 2006)",
    ),
    _forecast("dtw", "the series' unit", "dynamic-time-warping distance of the median forecast"),
    _forecast("covered", "share", "values inside the 90% interval", title="in 90%", direction="ideal", ideal=0.9,
              objective=False),
)  # fmt: skip
