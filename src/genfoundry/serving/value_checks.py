"""Values that a served model takes: how many samples, how they are drawn, numbers in their range."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genfoundry.errors import UserError
from genfoundry.types import Draw

MOST = 100_000  # samples in a request
MOST_VALUES = 100_000_000  # values in them: pixels, characters, numbers
LARGEST = 1e150  # real value, whose square float64 holds
COLDEST, HOTTEST = 1e-30, 1e6  # temperatures; beyond, float32 overflows


def check_size(n: int, values: int) -> None:
    """Raise UserError where n samples of so many values are none, or too many for one request."""
    most = min(MOST, MOST_VALUES // values)
    if values > MOST_VALUES:
        raise UserError(f"length: {values}: ask for up to {MOST_VALUES} characters")
    if not 1 <= n <= most:
        raise UserError(f"n: {n}: ask for 1 to {most} samples{f' of {values} values' if most < MOST else ''}")


def check_draw(draw: Draw) -> None:
    """Raise UserError where temperature or truncation are out of range."""
    if not (draw.temperature == 0 or COLDEST <= draw.temperature <= HOTTEST):
        wanted = f"expected 0 (the likeliest value), or {COLDEST:g} <= temperature <= {HOTTEST:g}"
        raise UserError(f"temperature: {draw.temperature}: {wanted}")
    if draw.top_k < 0:
        raise UserError(f"top_k: {draw.top_k}: expected a whole number, 0 for all values")
    if not 0 < draw.top_p <= 1:
        raise UserError(f"top_p: {draw.top_p}: expected 0 < top_p <= 1")


def check_integers(x: NDArray, name: str, levels: int) -> Tensor:
    """int64 of x's shape. Raises UserError where a value is not one of 0..levels-1."""
    x = _finite(x, name)
    if x.min() < 0 or x.max() >= levels or (x != np.floor(x)).any():
        raise UserError(f"{name}: values {x.min():g} to {x.max():g}: expected whole ones from 0 to {levels - 1}")
    return torch.as_tensor(x.astype(np.int64))


def check_reals(x: NDArray, name: str, gappy: bool) -> Tensor:
    """float64 of x's shape. Raises UserError where one is infinite, or its square is, or, unless `gappy`, missing."""
    values = _finite(x, name, gappy)
    if (np.abs(values) > LARGEST).any():  # NaN is not
        raise UserError(f"{name}: values up to {np.nanmax(np.abs(x)):g}: expected numbers up to {LARGEST:g}")
    return torch.as_tensor(values, dtype=torch.float64)


def _finite(x: NDArray, name: str, gappy: bool = False) -> NDArray:
    if x.dtype.kind not in "biuf":
        raise UserError(f"{name}: {x.dtype} values: expected numbers")
    if not (np.isfinite(x) | (np.isnan(x) & gappy)).all():
        raise UserError(f"{name}: a value is missing or infinite: expected finite numbers")
    return x
