"""The rows of a table in time: growing, newest first, or several series below each other, which is refused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from genfoundry.data.sheet import Sheet
from genfoundry.data.times import Column
from genfoundry.types import UserError

SHOWN = 3  # names of series in a message
HOURS = 2 * 3600  # seconds by which clocks are set back at most


def arrange(sheet: Sheet, time: Column) -> tuple[np.ndarray, tuple[str, ...]]:
    """Which rows to take, in which order, so that times grow; and what was done, in words.

    A table that is newest first is reversed; a row that stands twice, equal in every cell, is taken once.

    Raises:
        UserError: a time has several rows, or times do not grow.
    """
    values, take, notes = time.values, np.arange(len(time.values)), []
    if (np.diff(values) > 0).all():
        return take, ()
    if len(np.unique(values)) < len(values):
        first = {tuple(cell.strip() for cell in row): i for i, row in reversed(list(enumerate(sheet.rows)))}
        take = np.array(sorted(first.values()))
        if len(take) < len(values):
            notes.append(f"{len(values) - len(take)} rows that stand twice are taken once")
    if len(take) > 1 and (np.diff(values[take]) < 0).all():
        take = take[::-1]
        notes.append("rows are newest first and are read in reverse")
    if (np.diff(values[take]) <= 0).any():
        raise UserError(_fault(sheet, time, take))
    return take, tuple(notes)


def _fault(sheet: Sheet, time: Column, take: np.ndarray) -> str:
    """Why times do not grow, and what to do."""
    steps = np.diff(time.values[take])
    at = int(take[np.argmax(steps <= 0) + 1])
    where, cell = f"{sheet.path}:{sheet.lines[at]}: column {sheet.head[0]}", sheet.rows[at][0].strip()
    if (column := _series_column(sheet, time.values)) is not None:
        names = list(dict.fromkeys(row[column].strip() for row in sheet.rows))
        shown = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
        return (
            f"{where}: time {cell} repeats or goes back: long format, {len(names)} series below each other, named by "
            f"{sheet.head[column]} ({shown}); give each a column of its own, one row a time (pandas: pivot), or a file"
        )
    if time.clock == "seconds" and _set_back(steps):
        return (
            f"{where}: time {cell} repeats: clocks are set back there (end of summer time?); write times in UTC, "
            "or with their offset, such as 2024-10-27T02:00:00+01:00"
        )
    if (time.values[take] == time.values[at]).sum() > 1:
        return f"{where}: time {cell} stands in more than one row; times must grow, one row a time"
    return f"{where}: time {cell} after a later one; times must grow: sort the rows"


def _series_column(sheet: Sheet, times: np.ndarray) -> int | None:
    """The column whose few values name the series of a long table: in each of them times grow, or only fall."""
    for column in sorted(range(1, len(sheet.head)), key=lambda j: _distinct(sheet.rows, j)):
        names = np.array([row[column].strip() for row in sheet.rows])
        kinds = np.unique(names)
        if not 1 < len(kinds) <= len(names) / 3:
            continue
        each = [np.diff(times[names == kind]) for kind in kinds]
        if all((steps > 0).all() or (steps < 0).all() for steps in each):
            return column
    return None


def _distinct(rows: Sequence[Sequence[str]], column: int) -> int:
    return len({row[column].strip() for row in rows})


def _set_back(steps: np.ndarray) -> bool:
    """Whether times go back by an hour or two at most, and seldom."""
    back = steps[steps <= 0]
    return bool(len(back) * 100 <= len(steps) + 100 and (back > -HOURS).all())
