"""CSV files of series: a header, the time in the first column, numbers in the others; NaN where a cell is empty."""

from __future__ import annotations

import csv
import math
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np

from genfoundry.data.arrays import content
from genfoundry.types import UserError

Clock = Literal["number", "days", "seconds", "months"]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
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


def read(path: Path, clock: Clock | None = None) -> Table:
    """A CSV file. Times are numbers, or ISO dates that become days since 1970 (with a time of day: seconds).

    Args:
        path: .csv or .csv.gz.
        clock: what the times are; None: what the first row's is. "months": dates count in months since 1970.

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
    found, numbers = [], []
    for number, row in enumerate(lines[1:], start=2):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(head):
            raise UserError(f"{path}:{number}: {len(row)} cells, but the header has {len(head)}")
        clock = clock or _clock(row[0])
        values = [_value(cell, f"{path}:{number}: column {name}") for name, cell in zip(head[1:], row[1:], strict=True)]
        found.append([_time(row[0], clock, f"{path}:{number}: column {head[0]}"), *values])
        numbers.append(number)
    if not found:
        raise UserError(f"{path}: no rows; a header and a row a time step are right")
    return Table(path, tuple(head), clock or "number", np.array(found), np.array(numbers))


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
