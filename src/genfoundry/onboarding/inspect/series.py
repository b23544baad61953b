"""Inspection of a series: columns, time steps and gaps."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from genfoundry.data.modalities import series
from genfoundry.data.readers import csv_cells, time_columns, time_csv
from genfoundry.data.readers.csv_cells import Sheet
from genfoundry.data.readers.time_csv import SeriesTable
from genfoundry.errors import UserError
from genfoundry.onboarding.inspect import missing_codes
from genfoundry.onboarding.inspect.result import Inspection


def inspect_series(folder: Path, paths: list[Path], given: Mapping[str, Any]) -> Inspection:
    """Choose columns, what fills gaps where most rows lie on a grid, and window and context by the number of rows.

    Columns of words, of one value and of row numbers are left out and named.

    Raises:
        UserError: no table, a cell is no time or number, times do not grow, or no column varies.
    """
    cells, clock = time_columns.join_time_columns(csv_cells.read_sheet(series.find_file(folder)))
    columns, left_out = _choose_columns(cells)
    table = time_csv.parse_series(cells, clock, columns)
    missing_codes.refuse_missing_codes(table)
    # Dates a month apart lie on a grid of months, but on none of days.
    months = None if table.unit != "days" else _to_months(cells, columns, table)
    names = ", ".join(table.names)
    notes = [f"a series of {len(table.rows)} rows and {len(table.names)} columns of values: {names}", *table.notes]
    # Large held-out parts: windows of one stretch of time are not independent, and few of them say little.
    entry: dict[str, Any] = {"split": {"val": 0.15, "gate": 0.15, "test": 0.2}}
    if columns:
        entry["columns"] = list(columns)
        notes.append(f"columns: [{', '.join(columns)}]; left out: {'; '.join(left_out)}")
    keys, lines = _choose_gap_filling(months or table, months is not None)
    # A day of hours from a week before, or less where the data are too few for such windows.
    window, context = max(1, min(24, len(table.rows) // 60)), max(2, min(168, len(table.rows) // 12))
    lines.append(f"window: {window} steps are forecast from the context: {context} before them")
    return Inspection({**entry, **keys, "window": window, "context": context}, [*notes, *lines])


def _choose_gap_filling(table: SeriesTable, dated: bool) -> tuple[dict[str, Any], list[str]]:
    """Keys for empty cells and for missing rows, and a note for each; `dated`: the table's months were dates."""
    entry: dict[str, Any] = {}
    times, notes = table.rows[:, 0], list[str]()
    steps = np.diff(times)
    least = float(steps.min()) if len(steps) else 1.0
    absent = round((times[-1] - times[0]) / least) + 1 - len(times)
    regular = bool(np.allclose(steps / least, np.rint(steps / least), atol=1e-6))
    # Where more rows are missing than that, filled ones would weigh too much in what a model learns.
    if regular and 0 < absent <= len(times) / 4:
        entry["step"] = "month" if dated or (table.unit == "months" and least == 1) else _shorten(least)
        notes.append(f"step: {entry['step']}: {absent} rows that are not there are put in")
    empty = int(np.isnan(table.rows[:, 1:]).sum())
    if empty or "step" in entry:
        entry["missing"] = "forward"
        notes.append(
            f"missing: forward: {empty} empty cells, and rows put in, get the value before; validation counts them"
        )
    return entry, notes


def _choose_columns(cells: Sheet) -> tuple[tuple[str, ...], list[str]]:
    """The columns to take, () for all, and why each other column is left out.

    A column in which a few cells are no numbers is taken: reading it says which.
    """
    numeric, left_out, taken = set(time_csv.numeric_columns(cells)), [], []
    for number, name in enumerate(cells.head[1:], start=1):
        distinct = list(dict.fromkeys(cell.strip() for cell in cells.column(number)))
        if len(distinct) == 1 and len(cells.rows) > 1:
            left_out.append(f"{name} ({distinct[0] or 'empty'} in every row)")
        elif name not in numeric and time_csv.find_words(cells, number):
            left_out.append(f"{name} (words, such as {time_csv.find_words(cells, number)[0].strip()})")
        elif name not in numeric and time_csv.is_row_count(cells.column(number), name):
            left_out.append(f"{name} (numbers the rows)")
        elif len(distinct) == len(cells.rows) and _is_id(name, distinct):
            left_out.append(f"{name} (an id, another in each row)")
        else:
            taken.append(name)
    return (tuple(taken) if taken and left_out else ()), left_out


def _is_id(name: str, cells: list[str]) -> bool:
    """Whether a column, by its name and its cells, tells rows apart and measures nothing."""
    return bool(re.fullmatch(r"(.*[ _-])?id", name, re.IGNORECASE)) and all(cell.isdecimal() for cell in cells)


def _to_months(cells: Sheet, columns: tuple[str, ...], days: SeriesTable) -> SeriesTable | None:
    """The table with times in months, if its dates are a month apart."""
    steps = np.diff(days.rows[:, 0])
    if not len(steps) or not 28 <= np.median(steps) <= 31:  # months have unequal numbers of days
        return None
    try:
        months = time_csv.parse_series(cells, "months", columns)
    except UserError:  # two dates in one month
        return None
    return months if (np.diff(months.rows[:, 0]) > 0).all() else None


def _shorten(value: float) -> float | int:
    """A step in few digits where that is the same number: a third of a day has none such."""
    short = float(f"{value:.6g}")
    exact = short if math.isclose(short, value, rel_tol=1e-9) else value
    return int(exact) if exact == int(exact) else exact
