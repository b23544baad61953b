"""A column of times: one form that fits all cells, and what it counts. Nothing is guessed."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Literal

import numpy as np

from genfoundry.data.readers import numerals
from genfoundry.data.readers.time_formats import (
    DAY_FIRST,
    DIGITS,
    FORMS,
    ISO,
    MONTH_FIRST,
    MONTHS,
    NUMBER,
    SHORT,
    YEARLY,
    Form,
)
from genfoundry.errors import UserError

Clock = Literal["number", "days", "seconds", "months"]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MIDNIGHT = time()
MOST = 0.9  # share of valid dates among digits that makes the others mistakes
LEAST = 24  # rows on which that can be seen


@dataclass(frozen=True)
class Column:
    """A column of times in one form: numbers (L,), and what they count."""

    form: Form
    clock: Clock
    values: np.ndarray


def is_date(cell: str) -> bool:
    """Whether a cell is a date in any form that is not digits alone."""
    return any(form.read(cell.strip()) is not None for form in FORMS)


def column(
    cells: Sequence[str], where: Callable[[int], str], clock: Clock | None = None, form: Form | None = None
) -> Column:
    """The times of a column: numbers, or dates as days since 1970 (with a time of day seconds; months as months).

    Args:
        cells: their text (L,), at least one.
        where: file, line and column of a cell, for messages.
        clock: what to count; None: what the first cell's form has.
        form: one to prefer, that of an earlier part of the series.

    Raises:
        UserError: a cell is no time, is in another form than the others, or they can be read in two ways.
    """
    cells = [cell.strip() for cell in cells]
    for row, cell in enumerate(cells):
        if numerals.missing(cell):
            raise UserError(f"{where(row)}: the time is missing; a row without a time cannot be placed")
    if form is None or any(form.read(cell) is None for cell in cells) or (form is NUMBER) != (clock == "number"):
        form = NUMBER if clock == "number" else _form(cells, where, clock)
    read = [form.read(cell) for cell in cells]
    for row, moment in enumerate(read):
        if moment is None:
            raise UserError(f"{where(row)}: {cells[row]!r} is not a time; {form.name} is right{_remedy(cells[row])}")
    if form is NUMBER:
        return Column(form, "number", np.array(read, np.float64))
    moments = [moment for moment in read if isinstance(moment, datetime)]
    clock = clock or _clock(form, cells[0], moments)
    return Column(form, clock, _count(moments, clock, cells, where))


def _form(cells: Sequence[str], where: Callable[[int], str], clock: Clock | None) -> Form:
    """The only form that all cells have."""
    if (digits := _of_digits(cells, where)) is not None:
        return digits
    able = [form for form in ((NUMBER,) if clock is None else ()) + FORMS if form.read(cells[0]) is not None]
    if not able:
        right = "a number, or a date such as 2024-05-31," if clock is None else "a date such as 2024-05-31"
        several = len(cells) > 1 and not any(
            c.isdigit() for c in cells[0] + cells[1]
        )  # of one, which to delete is clear
        names = ", so that the line of names is first, right above the rows" if several else ""
        raise UserError(f"{where(0)}: {cells[0]!r} is not a time; {right} is right{_remedy(cells[0])}{names}")
    for row, cell in enumerate(cells):
        left = [form for form in able if form.read(cell) is not None]
        if not left:
            raise UserError(f"{where(row)}: {cell!r} is not a time; {able[0].name} is right{_remedy(cell)}")
        able = left
        if len(able) == 1 and row > LEAST:
            return able[0]  # `column` sees to the rest
    return able[0] if len(able) == 1 or DAY_FIRST not in able else _day_or_month(cells, where)


def _of_digits(cells: Sequence[str], where: Callable[[int], str]) -> Form | None:
    """A date of digits alone, such as 202405, where (nearly) all cells are one: else they are numbers."""
    for form in DIGITS:
        if all(form.read(cell) is None for cell in cells[:3]):
            continue
        wrong = [row for row, cell in enumerate(cells) if form.read(cell) is None]
        if not wrong and (form not in YEARLY or len({cell[:4] for cell in cells}) > 1):
            return form
        if form in YEARLY:
            continue
        if len(cells) >= LEAST and len(wrong) < (1 - MOST) * len(cells):
            raise UserError(f"{where(wrong[0])}: {cells[wrong[0]]!r} is not a time; {form.name} is right, as elsewhere")
    return None


def _day_or_month(cells: Sequence[str], where: Callable[[int], str]) -> Form:
    """Which of two numbers is the day: times only grow, or only fall, in one of the two readings."""
    ordered = []
    for form in (DAY_FIRST, MONTH_FIRST):
        times = [moment.timestamp() for moment in map(form.read, cells) if isinstance(moment, datetime)]
        steps = np.diff(times)
        if (steps > 0).all() or (steps < 0).all():
            ordered.append(form)
    if len(ordered) != 1:
        raise UserError(
            f"{where(0)}: {cells[0]!r} and the others can be DD/MM/YYYY and MM/DD/YYYY; write dates as YYYY-MM-DD"
        )
    return ordered[0]


def _remedy(cell: str) -> str:
    if SHORT.fullmatch(cell):
        return "; a year of two digits may lie in two centuries, write all four"
    return "" if any(c.isdigit() for c in cell) else "; delete the line if it is a note, a unit or a total"


def _clock(form: Form, first: str, moments: list[datetime]) -> Clock:
    """What to count: seconds also where most times are of a day, and midnight alone is written as a plain date."""
    if form.months:
        return "months"
    timed = sum(moment.time() != MIDNIGHT for moment in moments)
    shown = ":" in first or re.search(r"\dT\d", first) or "hh" in form.name
    return "seconds" if shown or 2 * timed > len(moments) else "days"


def _count(moments: list[datetime], clock: Clock, cells: Sequence[str], where: Callable[[int], str]) -> np.ndarray:
    """Days, seconds or months since 1970; a time without an offset is taken as UTC, if no other has one."""
    aware = [moment.tzinfo is not None for moment in moments]
    if any(aware) and not all(aware):
        row = aware.index(not aware[0])
        raise UserError(f"{where(row)}: {cells[row]!r}: some times have an offset from UTC and some have none")
    if clock == "months":
        return np.array([12.0 * (moment.year - 1970) + moment.month - 1 for moment in moments])
    seconds = np.array([(m.replace(tzinfo=m.tzinfo or UTC) - EPOCH).total_seconds() for m in moments])
    if clock == "days" and (off := np.flatnonzero(seconds % 86400)).size:
        raise UserError(
            f"{where(off[0])}: {cells[off[0]]!r} has a time of day, but the first row's time is a plain date; "
            "give all the same form"
        )
    return seconds / 86400 if clock == "days" else seconds


__all__ = ["ISO", "MONTHS", "NUMBER", "Clock", "Column", "Form", "column", "is_date"]
