"""CSV files of series: a header, the time in the first column, numbers in the others; NaN where a cell is empty.

Two layouts of official statistics are read too: a year and a quarter (or month) as the first two columns, and a row a
year with a column a month.
"""

from __future__ import annotations

import csv
import math
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from genfoundry.data.arrays import content
from genfoundry.types import UserError

Clock = Literal["number", "days", "seconds", "months"]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
ABSENT = ("", "na", "n/a", "nan", "null", "none", "?")


@dataclass(frozen=True)
class Table:
    """The header, the time's column first; rows (L, 1 + D) float64, likewise; the line of the file of each."""

    path: Path
    head: tuple[str, ...]
    clock: Clock
    rows: np.ndarray
    lines: np.ndarray

    @property
    def names(self) -> tuple[str, ...]:
        """The columns of values."""
        return self.head[1:]


def read(path: Path, clock: Clock | None = None, columns: tuple[str, ...] = ()) -> Table:
    """A CSV file. Times are numbers, or ISO dates that become days since 1970 (with a time of day: seconds).

    Args:
        path: .csv or .csv.gz.
        clock: what the times are; None: what the first row's is. "months": dates count in months since 1970.
        columns: those of values that are taken, in this order; (): all.

    Raises:
        UserError: a cell is text, or a row has more or fewer cells than the header; says in which line and column.
    """
    try:
        lines = list(csv.reader(content(path).decode("utf-8-sig").splitlines()))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not a table in UTF-8: {error}") from None
    if len(lines) < 2:
        raise UserError(f"{path}: no rows; a header and a row a time step are right")
    head = [name.strip() for name in lines[0]]
    if len(head) < 2:
        raise UserError(f"{path}:1: one column, {lines[0]}; the time and one or more others, commas between, are right")
    if len(set(head)) < len(head):
        raise UserError(f"{path}:1: columns {', '.join(head)}; every column needs a name of its own")
    body = [(number, row) for number, row in enumerate(lines[1:], start=2) if any(cell.strip() for cell in row)]
    for number, row in body:
        if len(row) != len(head):
            raise UserError(f"{path}:{number}: {len(row)} cells, but the header has {len(head)}")
    if (by_month := _monthly(path, head, body)) is not None:
        (head, body), clock = by_month, "months"
    taken = _taken(path, head, columns)
    head, found, numbers = [head[0], *(head[i] for i in taken)], [], []
    for number, row in body:
        clock = clock or _clock(row[0])
        values = [_value(row[i], f"{path}:{number}: column {name}") for i, name in zip(taken, head[1:], strict=True)]
        found.append([_time(row[0], clock, f"{path}:{number}: column {head[0]}"), *values])
        numbers.append(number)
    if not found:
        raise UserError(f"{path}: no rows; a header and a row a time step are right")
    return Table(path, tuple(head), clock or "number", np.array(found), np.array(numbers))


def _monthly(path: Path, head: list[str], body: list[tuple[int, list[str]]]) -> tuple[list[str], Any] | None:
    """Header and rows with the time in one column, of a layout whose time is in two columns or in the header."""
    small = [name.lower() for name in head]
    if len(head) == 13 and tuple(name[:3] for name in small[1:]) == MONTHS:
        each = ((number, [f"{row[0].strip()}-{m:02}", row[m]]) for number, row in body for m in range(1, 13))
        return ["month", "value"], list(each)
    if len(head) < 3 or small[0] != "year" or small[1] not in ("quarter", "month"):
        return None
    joined, months = [], 3 if small[1] == "quarter" else 1
    for number, row in body:
        part = row[1].strip()
        if not (part.isdigit() and 1 <= int(part) <= 12 // months):
            raise UserError(f"{path}:{number}: column {head[1]}: {row[1]!r}; 1 to {12 // months} is right")
        joined.append((number, [f"{row[0].strip()}-{months * (int(part) - 1) + 1:02}", *row[2:]]))
    return [f"year and {small[1]}", *head[2:]], joined


def _taken(path: Path, head: list[str], columns: tuple[str, ...]) -> list[int]:
    """Where the columns are."""
    if absent := [name for name in columns if name not in head[1:]]:
        raise UserError(f"{path}: no column {', '.join(absent)} to take; there are {', '.join(head[1:])}")
    return [head.index(name) for name in columns] or list(range(1, len(head)))


def _clock(cell: str) -> Clock:
    """What a time is; eight digits that are a date, such as 20240531, are one."""
    text = cell.strip()
    try:
        number = float(text)
    except ValueError:
        return "seconds" if ":" in text or "T" in text else "days"
    if text.isdigit() and 18000101 <= number <= 22001231:
        with suppress(ValueError):
            datetime.fromisoformat(text)
            return "days"
    return "number"


def _time(cell: str, clock: Clock, where: str) -> float:
    """A time as a number, exact in float64 for dates and whole seconds."""
    text = cell.strip()
    if text.lower() in ABSENT:
        raise UserError(f"{where}: the time is missing; a row without a time cannot be placed")
    try:
        if clock == "number":
            return _finite(text)
        when = datetime.fromisoformat(f"{text}-01" if len(text) == 7 else text)
    except ValueError:
        right = "a number" if clock == "number" else "an ISO date such as 2024-05-31"
        raise UserError(f"{where}: {cell!r} is not a time; {right} is right") from None
    when = when.replace(tzinfo=when.tzinfo or UTC)
    if clock == "months":
        return float(12 * (when.year - 1970) + when.month - 1)
    seconds = (when - EPOCH).total_seconds()
    if clock == "days" and seconds % 86400:
        raise UserError(
            f"{where}: {cell!r} has a time of day, but the first row's time is a plain date; give all the same form"
        )
    return seconds / 86400 if clock == "days" else seconds


def _value(cell: str, where: str) -> float:
    text = cell.strip()
    if text.lower() in ABSENT:
        return math.nan
    try:
        return _finite(text)
    except ValueError:
        raise UserError(f"{where}: {cell!r} is not a number") from None


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(text)
    return value
