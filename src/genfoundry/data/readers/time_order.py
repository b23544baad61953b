"""The rows of a table in time: growing, newest first, or several series below each other, which is refused."""

from __future__ import annotations

import itertools

import numpy as np

from genfoundry.data.readers.csv_cells import TIMES, Sheet
from genfoundry.data.readers.times import NUMBER, Column
from genfoundry.errors import UserError

PAIRED = 6  # columns of few values that are tried in pairs
SHOWN = 3  # names of series in a message
MANY = 0.1  # share of steps back beyond which numbers are no times
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
    if (columns := _series_columns(sheet, time.values)) is not None:
        names = list(dict.fromkeys(_names(sheet, columns)))
        shown = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
        return (
            f"{where}: time {cell} repeats or goes back: long format, {len(names)} series below each other, named by "
            f"{' and '.join(sheet.head[column] for column in columns)} ({shown}); give each a column of its own, one "
            "row a time (pandas: pivot), or a file"
        )
    if time.clock == "seconds" and _set_back(steps):
        return (
            f"{where}: time {cell} repeats: clocks are set back there (end of summer time?); write times in UTC, "
            "or with their offset, such as 2024-10-27T02:00:00+01:00"
        )
    if (time.values[take] == time.values[at]).sum() > 1:
        return f"{where}: time {cell} stands in more than one row; times must grow, one row a time"
    if time.form is NUMBER and sheet.head[0].lower() not in TIMES and (steps < 0).sum() > MANY * len(steps):
        return (
            f"{where}: {cell} after a larger number, and so on; is {sheet.head[0]} a time? the first column holds the "
            "times: put them there, or a number a row (0, 1, 2, ...) if there are none"
        )
    return f"{where}: time {cell} after a later one; times must grow: sort the rows"


def _series_columns(sheet: Sheet, times: np.ndarray) -> tuple[int, ...] | None:
    """The column, or two, whose few values name the series of a long table: in each times only grow, or only fall."""
    distinct = {column: len(set(_names(sheet, (column,)))) for column in range(1, len(sheet.head))}
    few = sorted(
        (column for column, count in distinct.items() if 1 < count <= len(times) / 2), key=distinct.__getitem__
    )
    for columns in (*((column,) for column in few), *itertools.combinations(few[:PAIRED], 2)):
        names = np.array(_names(sheet, columns))
        kinds, number = np.unique(names, return_inverse=True)
        rows = np.argsort(number, kind="stable")
        steps = np.split(times[rows], np.cumsum(np.bincount(number))[:-1])
        if len(kinds) <= len(times) / 2 and all(_is_monotone(np.diff(each)) for each in steps):
            return columns
    return None


def _names(sheet: Sheet, columns: tuple[int, ...]) -> list[str]:
    return [" ".join(row[column].strip() for column in columns) for row in sheet.rows]


def _is_monotone(steps: np.ndarray) -> bool:
    return bool((steps > 0).all() or (steps < 0).all())


def _set_back(steps: np.ndarray) -> bool:
    """Whether times go back by an hour or two at most, and seldom."""
    back = steps[steps <= 0]
    return bool(len(back) * 100 <= len(steps) + 100 and (back > -HOURS).all())
