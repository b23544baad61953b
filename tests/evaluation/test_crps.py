"""CRPS from quantiles: by hand, against the closed form of a normal distribution, and with missing values."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import norm

from genfoundry.evaluation.aggregate import aggregate
from genfoundry.evaluation.context import SplitContext
from genfoundry.evaluation.metric import QUANTILES
from genfoundry.evaluation.metrics.crps import quantile_crps, score_crps
from genfoundry.types import Batch, Spec


def forecasts(middle: np.ndarray, spread: float = 0.0) -> np.ndarray:
    """(N, Q, T, D) quantiles of normal distributions about (N, T, D)."""
    return np.stack([middle + spread * norm.ppf(q) for q in QUANTILES], 1)


def test_a_forecast_that_is_sure_has_the_absolute_error() -> None:
    rng = np.random.default_rng(0)
    middle, truth = rng.normal(size=(2, 5, 3, 2))
    np.testing.assert_allclose(quantile_crps(forecasts(middle), truth), np.abs(middle - truth))


def test_three_quantiles_by_hand() -> None:
    bands, truth = np.array([[[[0.0]], [[1.0]], [[2.0]]]]), np.array([[[1.5]]])
    want = 2 * (0.275 * 0.05 * 1.5 + 0.45 * 0.5 * 0.5 + 0.275 * 0.05 * 0.5)
    assert quantile_crps(bands, truth).item() == pytest.approx(want)


def test_it_is_near_the_closed_form_and_least_for_the_right_spread() -> None:
    truth = np.random.default_rng(1).normal(size=(4000, 1, 1))
    found = {s: quantile_crps(forecasts(np.zeros_like(truth), s), truth).mean() for s in (0.3, 1.0, 3.0)}
    z = truth
    exact = (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi)).mean()
    assert 0.8 * exact < found[1.0] < exact  # three quantiles are a coarse integral
    assert found[1.0] < min(found[0.3], found[3.0])


def test_values_that_are_missing_are_left_out() -> None:
    x = torch.tensor([[[1.0], [torch.nan]], [[3.0], [5.0]], [[torch.nan], [torch.nan]]]).double()
    split: Any = SimpleNamespace(spec=Spec((2, 1), None), name="test", tensor=x, groups=torch.arange(3),
                                 eval_batch=lambda index: Batch(x[index]))  # fmt: skip
    split = type("Windows", (), {**vars(split), "__len__": lambda self: 3, "eval_batch": lambda self, i: Batch(x[i])})()
    outputs = {"forecast": torch.zeros(3, len(QUANTILES), 2, 1).double()}
    scores = score_crps(outputs, SplitContext(split=split))
    assert scores["crps"].tolist() == pytest.approx([1.0, 4.0])
    found = aggregate(scores, 2, "series")
    assert (found["crps"], found["crps_n"]) == (pytest.approx(2.5), 2)
    assert found["crps_low"] < 2.5 < found["crps_high"]
