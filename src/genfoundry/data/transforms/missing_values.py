"""Cells and rows of a series that are missing: refused, kept, filled in or left out, as the data set declares.

No fill looks into a later split: `forward` takes the value before, `interpolate` a straight line in time to the next
value of the same split, and the value before where that has none. What is filled is counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from genfoundry.data.readers.time_csv import Table
from genfoundry.errors import UserError

HINT = "declare missing: keep, forward, interpolate or drop in the data set's entry"

MOST = 10  # rows on the grid for each that is there: beyond that the step is a mistake


@dataclass(frozen=True)
class Filled:
    """Rows (L, 1 + D) without a gap in their cells (unless gaps are kept), and a number a row (L,).

    `cells` were filled in; `dropped` rows just before it were left out (those after the last row count there).
    """

    rows: np.ndarray
    cells: np.ndarray
    dropped: np.ndarray


def complete(table: Table) -> None:
    """Refuse a table with an empty cell.

    Raises:
        UserError: says in which line and column the first one is.
    """
    holes = np.isnan(table.rows)
    if holes.any():
        row, column = np.argwhere(holes)[0]
        where = f"{table.path}:{table.lines[row]}: column {table.names[column - 1]}"
        raise UserError(f"{where}: the value is missing ({holes.sum()} are in all); {HINT}, or fill it in")


def gridded(rows: np.ndarray, step: float, source: str) -> np.ndarray:
    """Rows on the grid of times first + k * step, empty ones where there were none.

    Raises:
        UserError: times do not grow, or one is not on the grid.
    """
    times = rows[:, 0]
    place = (times - times[0]) / step
    k = np.rint(place).astype(np.int64)
    off = np.flatnonzero(
        (np.abs(place - k) > 1e-6 * np.maximum(1, np.abs(place))) | (np.diff(k, prepend=k[0] - 1) <= 0)
    )
    if len(off):
        at, before = times[off[0]], times[max(0, off[0] - 1)]
        raise UserError(f"{source}: time {at:.15g} after {before:.15g}; with step: {step:g} times grow by whole steps")
    if k[-1] >= MOST * len(rows):
        raise UserError(
            f"{source}: step: {step:g} makes {k[-1] + 1} rows of {len(rows)}; give the time between most rows"
        )
    whole = np.full((k[-1] + 1, rows.shape[1]), np.nan)
    whole[:, 0] = times[0] + step * np.arange(k[-1] + 1)
    whole[k] = rows
    return whole


def filled(rows: np.ndarray, where: np.ndarray, how: str, source: str) -> Filled:
    """Rows in time with NaN where a value is missing, each of split `where`, treated as `how` says.

    Rows before the first value of a column have nothing to be filled from, and are left out.

    Raises:
        UserError: a row is missing and `how` is "error", or times do not grow.
    """
    holes = np.isnan(rows[:, 1:])
    none = np.zeros(len(rows), np.int64)
    if not holes.any() or how == "keep":
        return Filled(rows, none, none)
    if how == "error":
        first = rows[np.argmax(holes.any(1)), 0]
        raise UserError(f"{source}: no row for time {first:.15g}; {HINT}, or leave step out")
    if len(back := np.flatnonzero(np.diff(rows[:, 0]) <= 0)):
        raise UserError(
            f"{source}: time {rows[back[0] + 1, 0]:.15g} after {rows[back[0], 0]:.15g}; to fill, times must grow"
        )
    full = rows.copy()
    if how != "drop":
        for d in range(1, rows.shape[1]):
            full[:, d] = _column(rows[:, 0], rows[:, d], where, how == "interpolate")
    keep = ~np.isnan(full[:, 1:]).any(1)
    number = np.flatnonzero(keep)
    dropped = np.diff(number, prepend=-1) - 1
    dropped[-1:] += len(rows) - 1 - number[-1:]
    return Filled(full[keep], holes.sum(1)[keep], dropped)


def _column(time: np.ndarray, value: np.ndarray, where: np.ndarray, straight: bool) -> np.ndarray:
    """One column, filled; NaN before its first value."""
    known = np.flatnonzero(~np.isnan(value))
    at = np.arange(len(value))
    before = np.searchsorted(known, at, side="right") - 1  # the last known one at or before
    out = np.where(before >= 0, value[known[np.maximum(before, 0)]] if len(known) else np.nan, np.nan)
    if not straight or not len(known):
        return out
    after = np.searchsorted(known, at, side="left")
    last, following = known[np.maximum(before, 0)], known[np.minimum(after, len(known) - 1)]
    between = np.isnan(value) & (before >= 0) & (after < len(known)) & (where[following] == where)
    share = (time - time[last]) / np.where(between, time[following] - time[last], 1)
    return np.where(between, value[last] + share * (value[following] - value[last]), out)
