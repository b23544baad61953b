"""Rolling origins: every origin of a split, an error at each horizon, and what of it becomes a figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from genfoundry.data.splits.series import SeriesSplit
from genfoundry.evaluation.aggregate import aggregate
from genfoundry.evaluation.context import EvalContext, SplitContext
from genfoundry.evaluation.metrics import forecast_errors, rolling_forecast
from genfoundry.evaluation.predict import predict, score
from genfoundry.models.base import Hyper, Learner
from genfoundry.types import Spec

SPEC = Spec((3, 2), None, cond_shape=(4, 2))


class Repeats(Learner):
    """The last value for ever."""

    def forecast(self, cond: Tensor, horizon: int, quantiles: tuple[float, ...]) -> Tensor:
        middle = cond[:, -1:].double().expand(-1, horizon, -1)
        return torch.stack([middle + (q - 0.5) * 10 for q in quantiles], 1)


def split(x: Tensor, name: str = "test") -> SeriesSplit:
    known = {"first": torch.tensor([0]), "season": torch.tensor([2]), "scale": torch.tensor([1.0, 10.0]).double()}
    return SeriesSplit(name, {"x": x, "past": x[:0], **known}, SPEC)


def ramp(rows: int = 12) -> Tensor:
    """A column that grows by 1 a row, and one by 20."""
    return torch.arange(rows, dtype=torch.float64)[:, None] * torch.tensor([1.0, 20.0]).double()


def setting(x: Tensor) -> EvalContext:
    return EvalContext(dataset=None, train=split(ramp(40), "train"), split=split(x))  # type: ignore[arg-type]


def roll(x: Tensor) -> Any:
    context = setting(x)
    outputs = rolling_forecast.forecast_every_origin(Repeats(SPEC, Hyper()), context)
    return rolling_forecast.score_origins(outputs, context)


def test_an_error_at_each_horizon_from_every_origin(tmp_path: Path) -> None:
    scores = roll(ramp())
    assert scores["rolling_mae"].shape == (6, 3)  # origins 4 to 9
    np.testing.assert_allclose(scores["rolling_mae"], np.tile([10.5, 21, 31.5], (6, 1)))
    np.testing.assert_allclose(scores["rolling_mase"], np.tile([1.5, 3, 4.5], (6, 1)))
    found = aggregate(scores, 6, "series")
    assert (found["mae_h1"], found["mae_h3"], found["mase_h2"]) == (10.5, 31.5, 3)
    assert found["rolling_mase"] == pytest.approx(3)
    assert found["rolling_mase_low"] == pytest.approx(3)
    context = setting(ramp())
    outputs = rolling_forecast.forecast_every_origin(Repeats(SPEC, Hyper()), context)
    rolling_forecast.plot_horizons(outputs, context)["horizons"](tmp_path / "horizons.png")
    assert (tmp_path / "horizons.png").stat().st_size > 1000


def test_what_is_missing_is_left_out() -> None:
    x = ramp()
    x[6, 0] = torch.nan
    scores = roll(x)
    assert scores["rolling_mae"][0].tolist() == [10.5, 21, 60]  # of origin 4, row 6 is three steps ahead
    assert np.isnan(scores["rolling_mae"]).sum() == 0  # the other column is there
    x[6] = torch.nan
    scores = roll(x)
    assert np.isnan(scores["rolling_mae"][0]).tolist() == [False, False, True]
    found = aggregate(scores, 6, "series")
    assert found["mae_h1"] == pytest.approx(10.5)


def test_the_interval_of_a_horizon_is_that_of_its_errors() -> None:
    torch.manual_seed(0)
    scores = roll(torch.randn(400, 2, dtype=torch.float64).cumsum(0))
    found = aggregate(scores, 6, "series")
    error = scores["rolling_mae"][:, 0]
    assert found["mae_h1_low"] < found["mae_h1"] < found["mae_h1_high"]
    assert found["mae_h1_high"] - found["mae_h1_low"] == pytest.approx(3.92 * error.std() / 20, rel=0.4)


def test_a_model_that_does_not_forecast_has_none() -> None:
    assert predict(Learner(SPEC, Hyper()), setting(ramp()), rolling_forecast.METRICS + forecast_errors.METRICS) == {}


def test_scaled_errors_over_what_is_there() -> None:
    x = ramp(10)
    x[5, 0] = torch.nan
    x[7:] = torch.nan  # the second window has nothing to be held against
    part = split(x)
    scores = score(
        predict(Repeats(SPEC, Hyper()), SplitContext(split=part, samples=1, seed=0)), SplitContext(split=part)
    )
    assert scores["mae"].tolist() == pytest.approx([(1 + 3 + 20 + 40 + 60) / 5])
    assert scores["mase"].tolist() == pytest.approx([(1 + 3 + 2 + 4 + 6) / 5])
    assert scores["covered"].tolist() == pytest.approx([2 / 5])
    assert len(scores["dtw"]) == 1
