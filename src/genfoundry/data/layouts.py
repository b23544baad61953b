"""Tables whose time is in several columns or in the header, as official statistics and loggers write them."""

from __future__ import annotations

import re
from dataclasses import replace

from genfoundry.data.sheet import Sheet
from genfoundry.data.times import MONTHS, Clock
from genfoundry.types import UserError

HOUR = re.compile(r"\d{1,2}:\d\d(:\d\d)?", re.ASCII)


def joined(cells: Sheet) -> tuple[Sheet, Clock | None]:
    """The same with the time in the first column alone, and what the layout says that it counts.

    A year and a quarter or month, or a year, month and day, as the first columns; a date and a time of day, where the
    date by itself repeats; a row a year with a column a month.

    Raises:
        UserError: a part of a time is out of its range.
    """
    small = [name.lower() for name in cells.head]
    if len(small) == 13 and tuple(name[:3] for name in small[1:]) == MONTHS:
        long = [(n, [f"{row[0].strip()}-{m:02}", row[m]]) for n, row in _numbered(cells) for m in range(1, 13)]
        monthly = replace(cells, head=["month", "value"], lines=[n for n, _ in long], rows=[row for _, row in long])
        return monthly, "months"
    if len(small) > 3 and small[:3] == ["year", "month", "day"]:
        rows = [[f"{r[0].strip()}-{_part(cells, i, 1, 12):02}-{_part(cells, i, 2, 31):02}", *r[3:]]
                for i, r in enumerate(cells.rows)]  # fmt: skip
        return replace(cells, head=["year, month and day", *cells.head[3:]], rows=rows), "days"
    if len(small) > 2 and small[0] == "year" and small[1] in ("quarter", "month"):
        months = 3 if small[1] == "quarter" else 1
        rows = [[f"{r[0].strip()}-{months * (_part(cells, i, 1, 12 // months) - 1) + 1:02}", *r[2:]]
                for i, r in enumerate(cells.rows)]  # fmt: skip
        return replace(cells, head=[f"year and {small[1]}", *cells.head[2:]], rows=rows), "months"
    return _with_hours(cells, small[1]), None


def _numbered(cells: Sheet) -> list[tuple[int, list[str]]]:
    return list(zip(cells.lines, cells.rows, strict=True))


def _part(cells: Sheet, row: int, column: int, most: int) -> int:
    """A month, quarter or day."""
    part = cells.rows[row][column].strip()
    if not (part.isdigit() and 1 <= int(part) <= most):
        raise UserError(f"{cells.place(row, column)}: {cells.rows[row][column]!r}; 1 to {most} is right")
    return int(part)


def _with_hours(cells: Sheet, second: str) -> Sheet:
    """A date and a time of day, or a whole hour from 0 to 23, in one column."""
    dates, hours = cells.column(0), [cell.strip() for cell in cells.column(1)]
    if len(cells.head) < 3 or len(set(dates)) == len(dates) or any(":" in date for date in dates):
        return cells
    if second == "hour" and all(hour.isdigit() and int(hour) < 24 for hour in hours):
        hours = [f"{int(hour):02}:00" for hour in hours]
    if not all(HOUR.fullmatch(hour) for hour in hours):
        return cells
    rows = [[f"{date.strip()} {hour:0>5}", *row[2:]] for date, hour, row in zip(dates, hours, cells.rows, strict=True)]
    return replace(cells, head=[f"{cells.head[0]} and {cells.head[1]}", *cells.head[2:]], rows=rows)
