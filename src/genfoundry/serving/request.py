"""What is asked of a served model, checked: rows of columns, and parameters. Every mistake names field and value.

A request is a table, a row a request, with the columns of the model's modality (`COLUMNS`). MLflow passes it as a
DataFrame (`dataframe_records`, `dataframe_split`, CSV), as columns (`inputs`, `instances`) or as rows (`inputs`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from genfoundry.errors import UserError
from genfoundry.types import Spec

COLUMNS = {
    "images": ("n", "x"),
    "text": ("n", "prompt", "text"),
    "lines": ("n", "prompt", "text"),
    "series": ("n", "past", "x"),
    "video": ("n", "past", "x"),
    "pairs": ("n", "prompt"),
}
DEFAULTS: dict[str, int | float] = {"label": -1, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "length": 0, "seed": 0}
RequestRow = dict[str, Any]  # column -> value; what is null or not given is not in it


def parse_rows(data: Any, modality: str, spec: Spec) -> list[RequestRow]:
    """The rows of a request, in whichever form MLflow passes it.

    Raises:
        UserError: it is no table, a column is unknown, or it asks for nothing.
    """
    allowed = COLUMNS[modality]
    found = _rows(data, {"x": len(spec.shape), "past": len(spec.cond_shape or spec.shape)}, allowed)
    names = dict.fromkeys(str(name) for row in found for name in row)
    if unknown := [name for name in names if name not in allowed]:
        raise UserError(f"{', '.join(map(repr, unknown))}: unknown column; expected columns: {', '.join(allowed)}")
    if not found or not names:
        raise UserError(f"request: nothing is asked for; expected {_form(allowed)}")
    return [{str(k): _scalar(v) for k, v in row.items() if not _null(v)} for row in found]


def _rows(data: Any, dims: Mapping[str, int], allowed: tuple[str, ...]) -> list[RequestRow]:
    if isinstance(data, pd.DataFrame):
        if not data.columns.is_unique:
            raise UserError(f"request: columns {list(map(str, data.columns))}: expected each of them once")
        return [dict(row) for row in data.to_dict("records")]
    if isinstance(data, Mapping):
        return _transpose({str(name): _nested(value) for name, value in data.items()}, dims)
    if isinstance(data, list) and all(isinstance(row, Mapping) for row in data):
        return [dict(row) for row in data]
    raise UserError(f"request: {_short(_nested(data))}: expected {_form(allowed)}")


def _form(allowed: tuple[str, ...]) -> str:
    return f"rows with columns among {', '.join(allowed)}, such as " + '{"dataframe_records": [{"n": 2}]}'


def _transpose(columns: Mapping[str, Any], dims: Mapping[str, int]) -> list[RequestRow]:
    """Rows of columns; a column that is no list of its values is that of a single row."""
    values = {k: v if isinstance(v, list) and _depth(v) > dims.get(k, 0) else [v] for k, v in columns.items()}
    lengths = {name: len(column) for name, column in values.items()}
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"{name} {count}" for name, count in lengths.items())
        raise UserError(f"request: columns of unequal length ({counts} rows): expected a value for every row")
    return [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]


def _depth(value: Any) -> int:
    return 1 + (_depth(value[0]) if value else 0) if isinstance(value, list) else 0


def _nested(value: Any) -> Any:
    """Arrays, and arrays of arrays, as lists."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return [_nested(v) for v in value] if isinstance(value, list | tuple) else value


def _null(value: Any) -> bool:
    return value is None or (not isinstance(value, list | tuple | Mapping | np.ndarray) and bool(pd.isna(value)))


def _scalar(value: Any) -> Any:
    """A NumPy number, or an array that holds a single value without a shape, as Python's own."""
    return (
        value.item() if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and not value.ndim) else value
    )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def parse_integer(value: Any, name: str, low: int, high: int) -> int:
    """A whole number; 2.0 is one, since JSON and pandas make no difference.

    Raises:
        UserError: it is none, or out of its range.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not low <= value <= high or value != int(value):
        raise UserError(f"{name}: {_short(value)}: expected a whole number from {low} to {high}")
    return int(value)


def parse_text(value: Any, name: str) -> str:
    """A text.

    Raises:
        UserError: it is something else.
    """
    if not isinstance(value, str):
        raise UserError(f"{name}: {_short(value)}: expected a text")
    return value


def parse_array(value: Any, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """A nested list of numbers, null for one that is missing, or its JSON (the cell of a CSV file).

    Raises:
        UserError: it is something else; `shape` is what the message asks for.
    """
    wanted = f"expected a nested list of numbers of shape {shape}"
    nested = _nested(value)
    if isinstance(nested, str):
        try:
            nested = json.loads(nested)
        except ValueError:
            raise UserError(f"{name}: {_short(nested)}: {wanted}") from None
    try:
        found = np.array(_filled(nested))
    except ValueError:
        raise UserError(f"{name}: lists of unequal length: {wanted}") from None
    if found.dtype.kind not in "iuf":
        raise UserError(f"{name}: {_short(nested)}: {wanted}")
    return found


def _filled(value: Any) -> Any:
    """Nested lists with NaN for null, and no truth values: NumPy would take them for numbers."""
    if isinstance(value, list):
        return [_filled(v) for v in value]
    return np.nan if value is None else str(value) if isinstance(value, bool) else value


def parse_parameters(params: Mapping[str, Any] | None) -> dict[str, int | float]:
    """Every parameter, its default where it is null or not given.

    Raises:
        UserError: one is unknown, or no number of its kind.
    """
    given = {name: _scalar(value) for name, value in (params or {}).items() if value is not None}
    if unknown := [name for name in given if name not in DEFAULTS]:
        raise UserError(f"{', '.join(map(repr, unknown))}: unknown parameter; expected {', '.join(DEFAULTS)}")
    found = dict(DEFAULTS)
    for name, value in given.items():
        if isinstance(DEFAULTS[name], int):
            found[name] = parse_integer(value, name, -(2**63), 2**63 - 1)
        elif isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
            raise UserError(f"{name}: {_short(value)}: expected a finite number")
        else:
            found[name] = float(value)
    return found
