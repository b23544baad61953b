"""Checks of values from a request or a command line. Errors name the field, the value and what is expected."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genfoundry.errors import UserError
from genfoundry.types import Draw

MOST = 100_000  # samples in a request
MOST_VALUES = 100_000_000  # values in them: pixels, characters, numbers
LARGEST = 1e150  # real value, whose square float64 holds
COLDEST, HOTTEST = 1e-30, 1e6  # temperatures; beyond, float32 overflows
SHOWN = 60  # characters of a value in a message


def shorten(value: Any) -> str:
    """A value in a message."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def check_size(n: Any, values: int) -> int:
    """The number of samples, if that many, of so many values each, can be drawn for one request.

    Raises:
        UserError: it is no whole number, or they are none or too many.
    """
    if values > MOST_VALUES:
        raise UserError(f"length: {values}: expected up to {MOST_VALUES} characters")
    most = min(MOST, MOST_VALUES // values)
    return check_integer(n, "n", 1, most, f" (of {values} values each)" if most < MOST else "")


def check_integer(value: Any, name: str, low: int, high: int, note: str = "") -> int:
    """A whole number from `low` to `high`; 2.0 is one, since JSON and pandas make no difference.

    Raises:
        UserError: it is none, or out of its range.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not low <= value <= high or value != int(value):
        raise UserError(f"{name}: {shorten(value)}: expected a whole number from {low} to {high}{note}")
    return int(value)


def check_draw(draw: Draw) -> None:
    """Raise UserError where temperature or truncation are out of range."""
    if not (draw.temperature == 0 or COLDEST <= draw.temperature <= HOTTEST):
        expected = f"0 (the likeliest value), or {COLDEST:g} <= temperature <= {HOTTEST:g}"
        raise UserError(f"temperature: {draw.temperature}: expected {expected}")
    if draw.top_k < 0:
        raise UserError(f"top_k: {draw.top_k}: expected a whole number, 0 for all values")
    if not 0 < draw.top_p <= 1:
        raise UserError(f"top_p: {draw.top_p}: expected 0 < top_p <= 1")


def check_text(value: Any, name: str) -> str:
    """A text. Raises UserError where it is something else."""
    if not isinstance(value, str):
        raise UserError(f"{name}: {shorten(value)}: expected a text")
    return value


def parse_array(value: Any, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """The array of a nested list of numbers, null for one that is missing, or of its JSON (the cell of a CSV file).

    Raises:
        UserError: it is something else; `shape` is what the message asks for.
    """
    expected = f"expected a nested list of numbers of shape {shape}"
    nested = to_lists(value)
    try:
        nested = json.loads(nested) if isinstance(nested, str) else nested
    except ValueError:
        raise UserError(f"{name}: {shorten(nested)}: {expected}") from None
    try:
        array = np.array(_fill(nested))
    except ValueError:
        raise UserError(f"{name}: lists of unequal length: {expected}") from None
    if array.dtype.kind not in "iuf":
        raise UserError(f"{name}: {shorten(nested)}: {expected}")
    return array


def to_lists(value: Any) -> Any:
    """Arrays, and arrays of arrays, as lists."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return [to_lists(v) for v in value] if isinstance(value, list | tuple) else value


def _fill(value: Any) -> Any:
    """Nested lists with NaN for null, and without truth values, which NumPy would take for numbers."""
    if isinstance(value, list):
        return [_fill(v) for v in value]
    return np.nan if value is None else str(value) if isinstance(value, bool) else value


def check_numbers(x: NDArray[Any], name: str, levels: int | None, missing: bool = False) -> NDArray[Any]:
    """x as int64, its values below `levels`; as float64 where `levels` is None, NaN being allowed if `missing`.

    Raises:
        UserError: a value is no number, out of range, infinite or missing.
    """
    if x.dtype.kind not in "biuf":
        raise UserError(f"{name}: {x.dtype} values: expected numbers")
    if not (np.isfinite(x) | (np.isnan(x) & (missing and levels is None))).all():
        raise UserError(f"{name}: a value is missing or infinite: expected finite numbers")
    if levels is None:
        if (np.abs(x) > LARGEST).any():  # NaN is not
            raise UserError(f"{name}: values up to {np.nanmax(np.abs(x)):g}: expected numbers up to {LARGEST:g}")
        return x.astype(np.float64)
    if x.min() < 0 or x.max() >= levels or (x != np.floor(x)).any():
        raise UserError(f"{name}: values {x.min():g} to {x.max():g}: expected whole ones from 0 to {levels - 1}")
    return x.astype(np.int64)
