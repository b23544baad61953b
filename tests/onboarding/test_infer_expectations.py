"""Bounds that `make init` writes hold for the data that they were made of, in every unit and on every offset."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from genfoundry import config
from genfoundry.onboarding.infer_expectations import infer_expectations

SERIES = config.Dataset(modality="series", raw="sunspots")
SIZES = (1, 0.02, 9, 1e-12, 1e12, 1 / 3)
OFFSETS = (0, 50, -50, 1013.2, 39000, 1e9, -1e12, 1e-9)


@pytest.mark.parametrize(("offset", "size"), [(o, s) for o in OFFSETS for s in SIZES if s > 1e-14 * abs(o)])
def test_bounds_of_a_series_hold(offset: float, size: float) -> None:
    values = offset + size * np.sin(np.arange(40))
    times = np.arange(40) * size
    rows = {"split": "train", "label": -1, "min": values, "max": values, "length": 1, "distinct": 1, "unknown": 0}
    frame = pd.DataFrame({**rows, "time": times, "digest": np.arange(40).astype(str)})
    expect = infer_expectations(frame, SERIES, 0)
    low, high = expect["values"]
    assert low <= values.min() and values.max() <= high
    room = np.ptp(values) / 2
    assert low >= values.min() - 1.2 * room and high <= values.max() + 1.2 * room  # and say something
    assert expect["gap"] >= np.diff(times).max()
    assert expect["gap"] <= 1.01 * np.diff(times).max()


def test_bounds_are_short() -> None:
    values = np.array([-3.14159, 0.0, 6.66])
    rows = {"split": "train", "label": -1, "min": values, "max": values, "length": 1, "distinct": 1, "unknown": 0}
    frame = pd.DataFrame({**rows, "time": [0.0, 1.0, 2.0], "digest": list("abc")})
    expect = infer_expectations(frame, SERIES, 0)
    assert expect["values"] == [-8.05, 11.6] and expect["gap"] == 1
