"""Tables whose time is in several columns, in a later one or in the header, as statistics offices and loggers write."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

from genfoundry.data.readers import csv_cells, times
from genfoundry.data.readers.csv_cells import Sheet
from genfoundry.data.readers.times import MONTHS, Clock
from genfoundry.errors import UserError

HOUR = re.compile(r"\d{1,2}:\d\d(:\d\d([.,]\d{1,6})?)?( ?[AP]M)?", re.ASCII | re.IGNORECASE)
PARTS = {"year": "year", "yr": "year", "month": "month", "mon": "month", "mo": "month", "quarter": "quarter"}
PARTS |= {"qtr": "quarter", "week": "week", "day": "day", "dy": "day"}
LARGEST = {"month": 12, "quarter": 4, "week": 53, "day": 31}
HOURLY = ("hour", "hr", "hours")
CLOCKS = (*HOURLY, "time", "hhmm", "zeit", "uhrzeit")


def joined(cells: Sheet) -> tuple[Sheet, Clock | None]:
    """The same with the time in the first column alone, and what the layout says that it counts.

    A row a year with a column a month; a year and a quarter, month or week, or a year, month and day, as the first
    columns; a date and a time of day, where the date by itself repeats; dates in one later column alone; a count of
    the rows before any of these.

    Raises:
        UserError: a part of a time is out of its range.
    """
    small = [name.lower() for name in cells.head]
    if len(small) == 13 and tuple(name[:3] for name in small[1:]) == MONTHS:
        long = [(n, [f"{row[0].strip()}-{m:02}", row[m]]) for n, row in _numbered(cells) for m in range(1, 13)]
        monthly = replace(cells, head=["month", "value"], lines=[n for n, _ in long], rows=[row for _, row in long])
        return monthly, "months"
    cells = _time_first(_without_row_numbers(cells))
    parts = [PARTS.get(name.lower(), "") for name in cells.head]
    if len(parts) > 3 and set(parts[:3]) == {"year", "month", "day"}:
        dated = _with_hours(_of_parts(cells, parts[:3]))
        return dated, None if " and " in dated.head[0].removeprefix("year, month and day") else "days"
    if len(parts) > 2 and "year" in parts[:2] and set(parts[:2]) & {"month", "quarter", "week"}:
        return _of_parts(cells, parts[:2]), None if "week" in parts[:2] else "months"
    return _with_hours(cells), None


def _hours_and_minutes(hours: list[str]) -> bool:
    """Whether cells are 0930, also without zeros in front; 1 to 24 are hours, not minutes past midnight."""
    if not all(hour.isdecimal() for hour in hours) or max(map(int, hours)) < 100:
        return False
    return all(int(hour) % 100 < 60 and int(hour) < 2400 for hour in hours)


def _numbered(cells: Sheet) -> list[tuple[int, list[str]]]:
    return list(zip(cells.lines, cells.rows, strict=True))


def _without_row_numbers(cells: Sheet) -> Sheet:
    """Without a first column that numbers the rows, where the second holds times."""
    if len(cells.head) < 3 or cells.head[0].lower() not in csv_cells.COUNTERS or not csv_cells.counts(cells.column(0)):
        return cells
    if not times.is_date(cells.rows[0][1]) and cells.head[1].lower() not in ("year", "yr"):
        return cells
    return csv_cells.without_first(cells, f"{cells.head[0]} numbers the rows and is left out")


def _time_first(cells: Sheet) -> Sheet:
    """With the only column of dates first, where the first one holds neither dates nor numbers that only grow."""
    first = cells.rows[0]
    dated = [i for i, cell in enumerate(first) if times.is_date(cell)]
    if len(dated) != 1 or dated[0] == 0 or not all(map(times.is_date, cells.column(dated[0]))) or _grows(cells):
        return cells
    order = [dated[0]]
    if dated[0] + 1 < len(first) and HOUR.fullmatch(first[dated[0] + 1].strip()):
        order.append(dated[0] + 1)
    order += [i for i in range(len(first)) if i not in order]
    return replace(
        cells,
        head=[cells.head[i] for i in order],
        rows=[[row[i] for i in order] for row in cells.rows],
        notes=[*cells.notes, f"{cells.head[dated[0]]} holds the times, and is taken as the first column"],
    )


def _grows(cells: Sheet) -> bool:
    """Whether the first column can hold the times: numbers, whole unless its name is a time's, that grow or fall."""
    numbers = [times.NUMBER.read(cell.strip()) for cell in cells.column(0)]
    values = [number for number in numbers if isinstance(number, float)]
    if len(values) < len(numbers) or not (
        cells.head[0].lower() in csv_cells.TIMES or all(v.is_integer() for v in values)
    ):
        return False
    steps = [b - a for a, b in itertools.pairwise(values)]
    return all(step > 0 for step in steps) or all(step < 0 for step in steps)


def _of_parts(cells: Sheet, parts: list[str]) -> Sheet:
    """A date, or a month or week, of the first columns."""
    at = {part: parts.index(part) for part in parts}
    order = [at[part] for part in ("year", "quarter", "month", "week", "day") if part in at]
    rows = []
    for i, row in enumerate(cells.rows):
        number = {part: _part(cells, i, at[part], part) for part in at if part != "year"}
        if "quarter" in number:
            number = {"month": 3 * number["quarter"] - 2}
        written = [f"{'W' * (part == 'week')}{value:02}" for part, value in number.items() if part != "day"]
        written += [f"{number['day']:02}"] if "day" in number else []
        rows.append(["-".join([row[at["year"]].strip(), *written]), *row[len(parts) :]])
    names = [cells.head[i].lower() for i in order]
    head = f"{', '.join(names[:-1])} and {names[-1]}"
    return replace(cells, head=[head, *cells.head[len(parts) :]], rows=rows)


def _part(cells: Sheet, row: int, column: int, part: str) -> int:
    """A month (also Jan or M01), quarter (also Q1), week or day."""
    text, most = cells.rows[row][column].strip(), LARGEST[part]
    if part == "month" and text[:3].lower() in MONTHS:
        return MONTHS.index(text[:3].lower()) + 1
    digits = text[1:] if text[:1].lower() == part[0] != "d" else text
    if not (digits.isdecimal() and 1 <= int(digits) <= most):
        raise UserError(f"{cells.place(row, column)}: {cells.rows[row][column]!r}; 1 to {most} is right")
    return int(digits)


def _with_hours(cells: Sheet) -> Sheet:
    """A date and a time of day (also 0930, or a whole hour from 0 to 23) in one column.

    Raises:
        UserError: the second column should hold times of day by its name, but one is none.
    """
    dates, second = cells.column(0), cells.head[1].lower()
    hours = [cell.strip() for cell in cells.column(1)]
    if len(cells.head) < 3 or len(set(dates)) == len(dates) or any(":" in date for date in dates):
        return cells
    if second in HOURLY and all(hour.isdecimal() and int(hour) < 24 for hour in hours):
        hours = [f"{int(hour):02}:00" for hour in hours]
    elif second in CLOCKS and _hours_and_minutes(hours):
        hours = [f"{int(hour) // 100:02}:{int(hour) % 100:02}" for hour in hours]
    elif second in CLOCKS and all(re.fullmatch(r"\d\d\.\d\d(\.\d\d)?", hour, re.ASCII) for hour in hours):
        hours = [hour.replace(".", ":") for hour in hours]
    small = {str(hour) for hour in range(24)} if second in HOURLY else set()
    wrong = [row for row, hour in enumerate(hours) if not HOUR.fullmatch(hour) and hour not in small]
    if wrong and second in CLOCKS and times.is_date(dates[0].strip()):
        cell = cells.rows[wrong[0]][1]
        raise UserError(
            f"{cells.place(wrong[0], 1)}: {cell!r} is no time of day; HH:MM, or a whole hour from 0 to 23, is right"
        )
    if wrong:
        return cells
    rows = [[f"{date.strip()} {hour:0>5}", *row[2:]] for date, hour, row in zip(dates, hours, cells.rows, strict=True)]
    return replace(cells, head=[f"{cells.head[0]} and {cells.head[1]}", *cells.head[2:]], rows=rows)
