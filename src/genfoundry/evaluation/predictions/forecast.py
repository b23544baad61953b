"""Forecasts of every window after its past: their quantiles, and how far these are from what came."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genfoundry.data.iterate import iter_batches
from genfoundry.evaluation.groups import grouped
from genfoundry.evaluation.objectives import QUANTILES
from genfoundry.evaluation.predictions import Answers, Scores, batches_of
from genfoundry.models.abilities import Forecasts
from genfoundry.splits import Seasonal

if TYPE_CHECKING:
    from genfoundry.models.base import Learner
    from genfoundry.splits import Split


def answers(model: Learner, split: Split, needs: Collection[str], samples: int, seed: int) -> Answers:
    """ "forecast" (N, len(QUANTILES), T, D), float64."""
    if not isinstance(model, Forecasts) or split.spec.cond_shape is None:
        return {}
    pasts = [b.cond for b in batches_of(model, split) if b.cond is not None]
    horizon = split.spec.shape[0]
    return {"forecast": torch.cat([model.forecast(past, horizon, QUANTILES).cpu().double() for past in pasts])}


def scores(
    found: Mapping[str, Tensor], split: Split, judge: Learner | None, real: NDArray[np.generic] | None
) -> Scores:
    """Of the quantiles over the values that are there, of windows in which one is.

    "mae", "mase", "dtw" of the median, and "covered", the share of values in the 90% interval.
    """
    bands = found["forecast"].double().numpy()
    truth = torch.cat([b.x for b in iter_batches(split)]).cpu().double().numpy()  # (N, T, D)
    there = ~np.isnan(truth)
    some, whole = there.any((1, 2)), there.all(2)
    low, middle, high = bands.transpose(1, 0, 2, 3)
    weight = (there / np.maximum(there.sum((1, 2), keepdims=True), 1))[some]
    error = np.abs(middle - np.where(there, truth, middle))[some]
    out: Scores = {"mae": (error * weight).sum((1, 2))}
    if isinstance(split, Seasonal):
        out["mase"] = (error / split.scale.cpu().double().numpy() * weight).sum((1, 2))
    pairs = [(a[w], b[w]) for a, b, w in zip(middle, truth, whole, strict=True) if w.any()]
    out["covered"] = (((low <= truth) & (truth <= high))[some] * weight).sum((1, 2))
    warps = {"dtw": np.array([warped(a, b) for a, b in pairs])}
    return grouped(out, split, _where(some)) | grouped(warps, split, _where(whole.any(1)))


def _where(chosen: NDArray[np.bool_]) -> Tensor:
    return torch.from_numpy(np.flatnonzero(chosen))


def warped(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Dynamic-time-warping distance of two series (T, D): root of the least sum of squares over alignments."""
    from dtaidistance import dtw_ndim

    one, two = (np.ascontiguousarray(x, np.float64) for x in (a, b))
    return float(dtw_ndim.distance_fast(one, two))
