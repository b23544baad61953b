"""Requests of a served model, parsed and checked: rows of columns, and parameters.

A request is a table, a row a request, with the columns of the model's modality (`COLUMNS`). MLflow passes it as a
DataFrame (`dataframe_records`, `dataframe_split`, CSV), as columns (`inputs`, `instances`) or as rows (`inputs`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from genfoundry.errors import UserError
from genfoundry.serving.value_checks import check_integer, shorten, to_lists
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
    """Parse the rows of a request from any of the forms in which MLflow passes it.

    Raises:
        UserError: it is no table, a column is unknown, or no value is given.
    """
    allowed = COLUMNS[modality]
    form = f"expected rows with columns among {', '.join(allowed)}, such as " + '{"dataframe_records": [{"n": 2}]}'
    rows: list[RequestRow]
    if isinstance(data, pd.DataFrame):
        # `to_dict` would keep the last of equal columns and drop the others.
        if not data.columns.is_unique:
            raise UserError(f"request: columns {list(map(str, data.columns))}: expected each of them once")
        rows = data.to_dict("records")
    elif isinstance(data, Mapping):
        # A column of one array and an array of such columns look alike: only the number of dimensions tells them apart.
        rows = _transpose(data, {"x": len(spec.shape), "past": len(spec.cond_shape or spec.shape)})
    elif isinstance(data, list) and all(isinstance(row, Mapping) for row in data):
        rows = data
    else:
        raise UserError(f"request: {shorten(to_lists(data))}: {form}")
    names = dict.fromkeys(str(name) for row in rows for name in row)
    if unknown := [name for name in names if name not in allowed]:
        raise UserError(f"{', '.join(map(repr, unknown))}: unknown column; expected columns: {', '.join(allowed)}")
    if not names:
        raise UserError(f"request: nothing is asked for; {form}")
    return [{str(k): _to_scalar(v) for k, v in row.items() if not _is_null(v)} for row in rows]


def _transpose(columns: Mapping[Any, Any], dims: Mapping[str, int]) -> list[RequestRow]:
    """Rows of columns; a column that is no list of its values is that of a single row."""
    lists = {str(name): to_lists(value) for name, value in columns.items()}
    values = {k: v if isinstance(v, list) and _depth(v) > dims.get(k, 0) else [v] for k, v in lists.items()}
    lengths = {name: len(column) for name, column in values.items()}
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"{name} {count}" for name, count in lengths.items())
        raise UserError(f"request: columns of unequal length ({counts} rows): expected a value for every row")
    return [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]


def _depth(value: Any) -> int:
    return 1 + (_depth(value[0]) if value else 0) if isinstance(value, list) else 0


def _is_null(value: Any) -> bool:
    # `pd.isna` of a container is an array, which has no truth value.
    return value is None or (not isinstance(value, list | tuple | Mapping | np.ndarray) and bool(pd.isna(value)))


def _to_scalar(value: Any) -> Any:
    """Convert a NumPy scalar or zero-dimensional array to a Python number."""
    scalar = isinstance(value, np.generic) or (isinstance(value, np.ndarray) and not value.ndim)
    return value.item() if scalar else value


def parse_parameters(params: Mapping[str, Any] | None) -> dict[str, int | float]:
    """Every parameter, its default where it is null or not given.

    Raises:
        UserError: one is unknown, or no number of its kind.
    """
    given = {name: _to_scalar(value) for name, value in (params or {}).items() if value is not None}
    if unknown := [name for name in given if name not in DEFAULTS]:
        raise UserError(f"{', '.join(map(repr, unknown))}: unknown parameter; expected {', '.join(DEFAULTS)}")
    parsed = dict(DEFAULTS)
    for name, value in given.items():
        if isinstance(DEFAULTS[name], int):
            parsed[name] = check_integer(value, name, -(2**63), 2**63 - 1)  # MLflow's type `long`
        # bool is a subclass of int: without this, True would be a temperature of 1.
        elif isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
            raise UserError(f"{name}: {shorten(value)}: expected a finite number")
        else:
            parsed[name] = float(value)
    return parsed
