"""Forecasts from every origin of a split and what they miss by at each horizon: rolling origins (Tashman 2000)."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from genfoundry.data.iterate import EVAL_BATCH
from genfoundry.evaluation import plots
from genfoundry.evaluation.bootstrap import Array
from genfoundry.evaluation.metrics.figures import by_horizon
from genfoundry.evaluation.predictions import Scores
from genfoundry.models.abilities import Forecasts
from genfoundry.models.base import Learner
from genfoundry.splits import Seasonal
from genfoundry.types import Batch

if TYPE_CHECKING:
    from genfoundry.evaluation.context import Bench

ORIGINS = 1000  # at most, evenly apart


def rolled(model: Learner, bench: Bench) -> Scores:
    """`rolling_mae`, `rolling_mase` (O, T): errors of O origins at T horizons, a mean over columns; NaN: not seen.

    An origin is any row after which a whole window and before which a whole past stand in the split. A picture sets the
    model beside the value a season ago (or the last one).
    """
    split = bench.split
    if not isinstance(model, Forecasts) or split.spec.cond_shape is None or not isinstance(split, Seasonal):
        return {}
    count = split.positions
    origins = torch.arange(count)[:: max(1, -(-count // ORIGINS))]
    errors, naive = [], []
    for part in torch.split(origins, EVAL_BATCH):
        batch = split.train_batch(part.to(split.tensor.device)).to(model.device)
        assert batch.cond is not None
        middle = model.forecast(batch.cond, batch.x.shape[1], (0.5,))[:, 0].double()
        errors.append((middle - batch.x).abs().cpu())
        naive.append((_naive(batch, split.season) - batch.x).abs().cpu())
    scale = split.scale.cpu().double()
    found = {"rolling_mae": torch.cat(errors), "rolling_mase": torch.cat(errors) / scale}
    mean = {name: np.asarray(error.nanmean(2).numpy(), np.float64) for name, error in found.items()}
    beside = f"{split.season} rows ago" if split.season else "the last value"
    curves = {
        "model": by_horizon(mean["rolling_mase"]),
        beside: by_horizon((torch.cat(naive) / scale).nanmean(2).numpy()),
    }
    bench.drawings["horizons"] = partial(_draw, curves=curves)
    return dict(mean)


def _naive(batch: Batch, season: int) -> Tensor:
    """(B, T, D): the value a season before each, as far as it is in the past; NaN where that is missing."""
    assert batch.cond is not None
    past, lag = batch.cond[..., : batch.x.shape[-1]].double(), season if 0 < season <= batch.cond.shape[1] else 1
    return past[:, past.shape[1] - lag + torch.arange(batch.x.shape[1], device=past.device) % lag]


def _draw(path: Path, curves: dict[str, Array]) -> None:
    shown = {name: (np.arange(1, len(y) + 1).astype(np.float64), y) for name, y in curves.items()}
    plots.plot_lines(path, shown, x="steps ahead", y="mean absolute scaled error", title="every origin of test")
