"""Cells and rows of a series that are missing: refused, kept, filled in or left out, as the data set declares.

No fill looks into a later split: `forward` takes the value before, `interpolate` a straight line in time to the next
value of the same split, and the value before where that has none. What is filled is counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from genfoundry.data.readers.time_csv import SeriesTable
from genfoundry.errors import UserError

HINT = "declare missing: keep, forward, interpolate or drop in the data set's entry"
MOST = 10  # rows on the grid for each of the file's: beyond that the step is a mistake


@dataclass(frozen=True)
class Filled:
    """Rows (L, 1 + D) without a missing value (unless these are kept), and two counts a row (L,).

    `cells` were filled in; `dropped` rows just before it were left out (those after the last row count there).
    """

    rows: np.ndarray
    cells: np.ndarray
    dropped: np.ndarray


def require_complete(table: SeriesTable) -> None:
    """Refuse a table with an empty cell.

    Raises:
        UserError: says in which line and column the first one is.
    """
    missing = np.isnan(table.rows)
    if missing.any():
        row, column = np.argwhere(missing)[0]
        where = f"{table.path}:{table.lines[row]}: column {table.names[column - 1]}"
        raise UserError(
            f"{where}: expected a value, got none ({missing.sum()} are missing in all); {HINT}, or fill it in"
        )


def put_on_grid(rows: np.ndarray, step: float, source: str) -> np.ndarray:
    """Put rows (L, 1 + D) on the grid of times first + k * step, with NaN where the file has no row.

    Raises:
        UserError: times do not grow, or one is not on the grid.
    """
    times = rows[:, 0]
    place = (times - times[0]) / step
    k = np.rint(place).astype(np.int64)
    # Relative: times such as 1970.083 are rounded in the file, and the error grows with the distance
    off_grid = np.abs(place - k) > 1e-6 * np.maximum(1, np.abs(place))
    wrong = np.flatnonzero(off_grid | (np.diff(k, prepend=k[0] - 1) <= 0))
    if len(wrong):
        at, before = times[wrong[0]], times[max(0, wrong[0] - 1)]
        raise UserError(
            f"{source}: expected times that grow by whole steps of {step:g}, got {at:.15g} after {before:.15g}"
        )
    # Before the grid is allocated, which a step in the wrong unit would make of billions of rows
    if k[-1] >= MOST * len(rows):
        raise UserError(
            f"{source}: step: expected the time between most rows, got {step:g}, which makes {k[-1] + 1} of {len(rows)}"
        )
    grid = np.full((k[-1] + 1, rows.shape[1]), np.nan)
    grid[:, 0] = times[0] + step * np.arange(k[-1] + 1)
    grid[k] = rows
    return grid


def fill_missing(rows: np.ndarray, split: np.ndarray, how: str, source: str) -> Filled:
    """Treat missing values (NaN) of rows in time as `how` says.

    Rows before the first value of a column have nothing to be filled from, and are left out.

    Args:
        rows: (L, 1 + D), the time first.
        split: (L,) the split of each.
        how: error, keep, forward, interpolate or drop.
        source: the file, for messages.

    Raises:
        UserError: a row is missing and `how` is "error", or times do not grow.
    """
    missing = np.isnan(rows[:, 1:])
    none = np.zeros(len(rows), np.int64)
    if not missing.any() or how == "keep":
        return Filled(rows, none, none)
    if how == "error":
        first = rows[np.argmax(missing.any(1)), 0]
        raise UserError(f"{source}: expected a row for time {first:.15g}, got none; {HINT}, or leave step out")
    if len(back := np.flatnonzero(np.diff(rows[:, 0]) <= 0)):
        raise UserError(
            f"{source}: expected times that grow, got {rows[back[0] + 1, 0]:.15g} after {rows[back[0], 0]:.15g}"
        )
    full = rows.copy()
    for d in range(1, rows.shape[1]) if how != "drop" else ():
        full[:, d] = _fill_column(rows[:, 0], rows[:, d], split, how == "interpolate")
    keep = ~np.isnan(full[:, 1:]).any(1)
    number = np.flatnonzero(keep)
    dropped = np.diff(number, prepend=-1) - 1
    # Slices, since there may be no row left
    dropped[-1:] += len(rows) - 1 - number[-1:]
    return Filled(full[keep], missing.sum(1)[keep], dropped)


def _fill_column(time: np.ndarray, value: np.ndarray, split: np.ndarray, interpolate: bool) -> np.ndarray:
    """One column (L,), filled; NaN before its first value."""
    present = np.flatnonzero(~np.isnan(value))
    if not len(present):
        return value
    at = np.arange(len(value))
    before = np.searchsorted(present, at, side="right") - 1  # the last present one at or before
    forward = np.where(before >= 0, value[present[np.maximum(before, 0)]], np.nan)
    if not interpolate:
        return forward
    after = np.searchsorted(present, at, side="left")
    last, following = present[np.maximum(before, 0)], present[np.minimum(after, len(present) - 1)]
    # A line that ends in a later split would tell train of values it must not know
    between = np.isnan(value) & (before >= 0) & (after < len(present)) & (split[following] == split)
    share = (time - time[last]) / np.where(between, time[following] - time[last], 1)
    return np.where(between, value[last] + share * (value[following] - value[last]), forward)
