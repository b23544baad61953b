"""Columns, time steps and gaps of a series."""

from __future__ import annotations

import math
import re
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


def inspect_series(folder: Path, paths: list[Path]) -> Inspection:
    """Gaps are filled where most rows lie on a grid; window and context follow from the number of rows.

    Columns of words, of one value and of row numbers are left out and named.

    Raises:
        UserError: no table, a cell is no time or number, times do not grow, or no column varies.
    """
    cells, clock = time_columns.join_time_columns(csv_cells.read_sheet(series.find_file(folder)))
    columns, left = _columns(cells)
    read = time_csv.parse_series(cells, clock, columns)
    missing_codes.refuse_missing_codes(read)
    months = None if read.unit != "days" else _months(cells, columns, read)
    names = ", ".join(read.names)
    said = [f"a series of {len(read.rows)} rows and {len(read.names)} columns of values: {names}", *read.notes]
    entry: dict[str, Any] = {"split": {"val": 0.15, "gate": 0.15, "test": 0.2}}
    if columns:
        entry["columns"] = list(columns)
        said.append(f"columns: [{', '.join(columns)}]; left out: {'; '.join(left)}")
    for more, words in (_gaps(months or read, months is not None), _lengths(len(read.rows))):
        entry |= more
        said += words
    return Inspection(entry, said)


def _gaps(read: SeriesTable, dated: bool) -> tuple[dict[str, Any], list[str]]:
    """What becomes of empty cells and of rows that are not there; `dated`: the months were dates."""
    entry: dict[str, Any] = {}
    times, said = read.rows[:, 0], []
    steps = np.diff(times)
    least = float(steps.min()) if len(steps) else 1.0
    absent = round((times[-1] - times[0]) / least) + 1 - len(times)
    regular = bool(np.allclose(steps / least, np.rint(steps / least), atol=1e-6))
    if regular and 0 < absent <= len(times) / 4:
        entry["step"] = "month" if dated or (read.unit == "months" and least == 1) else _number(least)
        said.append(f"step: {entry['step']}: {absent} rows that are not there are put in")
    holes = int(np.isnan(read.rows[:, 1:]).sum())
    if holes or "step" in entry:
        entry["missing"] = "forward"
        said.append(
            f"missing: forward: {holes} empty cells, and rows put in, get the value before; validation counts them"
        )
    return entry, said


def _lengths(rows: int) -> tuple[dict[str, Any], list[str]]:
    """The window and its context, by the number of rows."""
    entry = {"window": max(1, min(24, rows // 60)), "context": max(2, min(168, rows // 12))}
    return entry, [f"window: {entry['window']} steps are forecast from the context: {entry['context']} before them"]


def _columns(cells: Sheet) -> tuple[tuple[str, ...], list[str]]:
    """The columns to take, () for all, and why each other one is left out.

    A column in which a few cells are no numbers is taken: reading it says which.
    """
    able, left, taken = set(time_csv.numeric_columns(cells)), [], []
    for number, name in enumerate(cells.head[1:], start=1):
        distinct = list(dict.fromkeys(cell.strip() for cell in cells.column(number)))
        if len(distinct) == 1 and len(cells.rows) > 1:
            left.append(f"{name} ({distinct[0] or 'empty'} in every row)")
        elif name not in able and time_csv.find_words(cells, number):
            left.append(f"{name} (words, such as {time_csv.find_words(cells, number)[0].strip()})")
        elif name not in able and time_csv.is_row_count(cells.column(number), name):
            left.append(f"{name} (numbers the rows)")
        elif len(distinct) == len(cells.rows) and _is_id(name, distinct):
            left.append(f"{name} (an id, another in each row)")
        else:
            taken.append(name)
    return (tuple(taken) if taken and left else ()), left


def _is_id(name: str, cells: list[str]) -> bool:
    """Whether a column, by its name and its cells, tells rows apart and measures nothing."""
    return bool(re.fullmatch(r"(.*[ _-])?id", name, re.IGNORECASE)) and all(cell.isdecimal() for cell in cells)


def _months(cells: Sheet, columns: tuple[str, ...], days: SeriesTable) -> SeriesTable | None:
    """The table with times in months, where its dates are a month apart."""
    steps = np.diff(days.rows[:, 0])
    if not len(steps) or not 28 <= np.median(steps) <= 31:
        return None
    try:
        months = time_csv.parse_series(cells, "months", columns)
    except UserError:  # two dates in one month
        return None
    return months if (np.diff(months.rows[:, 0]) > 0).all() else None


def _number(value: float) -> float | int:
    """A step, short where that is the same: a third of a day has no few digits."""
    short = float(f"{value:.6g}")
    exact = short if math.isclose(short, value, rel_tol=1e-9) else value
    return int(exact) if exact == int(exact) else exact
