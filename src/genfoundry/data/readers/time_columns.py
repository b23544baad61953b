"""Where the time stands in a table, and in which order its rows are.

Statistics offices and loggers write it in several columns, in a later one or in the header; newest first, or several
series below each other, which is refused.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import numpy as np

from genfoundry.data.readers import times
from genfoundry.data.readers.csv_cells import COUNTER_NAMES, TIME_NAMES, Sheet, is_count
from genfoundry.data.readers.times import MONTHS, TimeColumn, TimeUnit
from genfoundry.errors import UserError

HOUR = re.compile(r"\d{1,2}:\d\d(:\d\d([.,]\d{1,6})?)?( ?[AP]M)?", re.ASCII | re.IGNORECASE)
PARTS = {"year": "year", "yr": "year", "month": "month", "mon": "month", "mo": "month", "quarter": "quarter"}
PARTS |= {"qtr": "quarter", "week": "week", "day": "day", "dy": "day"}
LARGEST = {"month": 12, "quarter": 4, "week": 53, "day": 31}
HOUR_NAMES = ("hour", "hr", "hours")
CLOCK_NAMES = (*HOUR_NAMES, "time", "hhmm", "zeit", "uhrzeit")
PAIRED = 6  # columns of few values that are tried in pairs
SHOWN = 3  # names of series in a message
BACKWARD = 0.1  # share of steps back beyond which numbers are no times
CLOCK_CHANGE = 2 * 3600  # seconds by which clocks are set back at most


def join_time_columns(sheet: Sheet) -> tuple[Sheet, TimeUnit | None]:
    """The sheet with the time in its first column alone, and the unit that its layout implies.

    Recognised are: a row a year with a column a month; a year and a quarter, month or week, or a year, month and day,
    as the first columns; a date and a time of day, where the date by itself repeats; dates in one later column alone;
    a count of the rows before any of these.

    Raises:
        UserError: a part of a time is out of its range.
    """
    names = [name.lower() for name in sheet.head]
    if len(names) == 13 and tuple(name[:3] for name in names[1:]) == MONTHS:
        numbered = zip(sheet.lines, sheet.rows, strict=True)
        cells = [(line, [f"{row[0].strip()}-{m:02}", row[m]]) for line, row in numbered for m in range(1, 13)]
        lines, rows = [line for line, _ in cells], [row for _, row in cells]
        return replace(sheet, head=["month", "value"], lines=lines, rows=rows), "months"
    sheet = _move_time_first(_drop_row_numbers(sheet))
    parts = [PARTS.get(name.lower(), "") for name in sheet.head]
    if len(parts) > 3 and set(parts[:3]) == {"year", "month", "day"}:
        dated = _join_hours(_join_parts(sheet, parts[:3]))
        return dated, None if " and " in dated.head[0].removeprefix("year, month and day") else "days"
    if len(parts) > 2 and "year" in parts[:2] and set(parts[:2]) & {"month", "quarter", "week"}:
        return _join_parts(sheet, parts[:2]), None if "week" in parts[:2] else "months"
    return _join_hours(sheet), None


def _drop_row_numbers(sheet: Sheet) -> Sheet:
    """Without a first column that numbers the rows, where the second holds times."""
    if len(sheet.head) < 3 or sheet.head[0].lower() not in COUNTER_NAMES or not is_count(sheet.column(0)):
        return sheet
    if not times.is_date(sheet.rows[0][1]) and sheet.head[1].lower() not in ("year", "yr"):
        return sheet
    return sheet.without_first(f"{sheet.head[0]} numbers the rows and is left out")


def _move_time_first(sheet: Sheet) -> Sheet:
    """With the only column of dates first, where the first one holds neither dates nor numbers that only grow."""
    first = sheet.rows[0]
    dated = [i for i, cell in enumerate(first) if times.is_date(cell)]
    if len(dated) != 1 or dated[0] == 0 or not all(map(times.is_date, sheet.column(dated[0]))) or _can_be_time(sheet):
        return sheet
    order = [dated[0]]
    if dated[0] + 1 < len(first) and HOUR.fullmatch(first[dated[0] + 1].strip()):
        order.append(dated[0] + 1)
    order += [i for i in range(len(first)) if i not in order]
    head, rows = [sheet.head[i] for i in order], [[row[i] for i in order] for row in sheet.rows]
    note = f"{sheet.head[dated[0]]} holds the times, and is taken as the first column"
    return replace(sheet, head=head, rows=rows, notes=[*sheet.notes, note])


def _can_be_time(sheet: Sheet) -> bool:
    """Whether the first column can hold the times: numbers, whole unless its name is a time's, that grow or fall."""
    numbers = [times.NUMBER.parse(cell.strip()) for cell in sheet.column(0)]
    values = [number for number in numbers if isinstance(number, float)]
    plausible = sheet.head[0].lower() in TIME_NAMES or all(value.is_integer() for value in values)
    return len(values) == len(numbers) and plausible and _is_monotone(np.diff(values))


def _join_parts(sheet: Sheet, parts: list[str]) -> Sheet:
    """A date, or a month or week, made of the first columns."""
    at = {part: parts.index(part) for part in parts}
    order = [at[part] for part in ("year", "quarter", "month", "week", "day") if part in at]
    rows = []
    for i, row in enumerate(sheet.rows):
        number = {part: _parse_part(sheet, i, at[part], part) for part in at if part != "year"}
        if "quarter" in number:
            number = {"month": 3 * number["quarter"] - 2}
        texts = [f"{'W' * (part == 'week')}{value:02}" for part, value in number.items() if part != "day"]
        texts += [f"{number['day']:02}"] if "day" in number else []
        rows.append(["-".join([row[at["year"]].strip(), *texts]), *row[len(parts) :]])
    names = [sheet.head[i].lower() for i in order]
    head = f"{', '.join(names[:-1])} and {names[-1]}"
    return replace(sheet, head=[head, *sheet.head[len(parts) :]], rows=rows)


def _parse_part(sheet: Sheet, row: int, column: int, part: str) -> int:
    """A month (also Jan or M01), quarter (also Q1), week or day."""
    text, largest = sheet.rows[row][column].strip(), LARGEST[part]
    if part == "month" and text[:3].lower() in MONTHS:
        return MONTHS.index(text[:3].lower()) + 1
    digits = text[1:] if text[:1].lower() == part[0] != "d" else text
    if not (digits.isdecimal() and 1 <= int(digits) <= largest):
        raise UserError(f"{sheet.place(row, column)}: expected 1 to {largest}, got {sheet.rows[row][column]!r}")
    return int(digits)


def _join_hours(sheet: Sheet) -> Sheet:
    """A date and a time of day (also 0930, or a whole hour from 0 to 23) in one column.

    Raises:
        UserError: the second column should hold times of day by its name, but one is none.
    """
    dates, name = sheet.column(0), sheet.head[1].lower()
    hours = [cell.strip() for cell in sheet.column(1)]
    if len(sheet.head) < 3 or len(set(dates)) == len(dates) or any(":" in date for date in dates):
        return sheet
    if name in HOUR_NAMES and all(hour.isdecimal() and int(hour) < 24 for hour in hours):
        hours = [f"{int(hour):02}:00" for hour in hours]
    elif name in CLOCK_NAMES and _are_hhmm(hours):
        hours = [f"{int(hour) // 100:02}:{int(hour) % 100:02}" for hour in hours]
    elif name in CLOCK_NAMES and all(re.fullmatch(r"\d\d\.\d\d(\.\d\d)?", hour, re.ASCII) for hour in hours):
        hours = [hour.replace(".", ":") for hour in hours]
    small = {str(hour) for hour in range(24)} if name in HOUR_NAMES else set()
    wrong = [row for row, hour in enumerate(hours) if not HOUR.fullmatch(hour) and hour not in small]
    if wrong and name in CLOCK_NAMES and times.is_date(dates[0].strip()):
        cell = sheet.rows[wrong[0]][1]
        raise UserError(
            f"{sheet.place(wrong[0], 1)}: expected a time of day, HH:MM or a whole hour from 0 to 23, got {cell!r}"
        )
    if wrong:
        return sheet
    rows = [[f"{date.strip()} {hour:0>5}", *row[2:]] for date, hour, row in zip(dates, hours, sheet.rows, strict=True)]
    return replace(sheet, head=[f"{sheet.head[0]} and {sheet.head[1]}", *sheet.head[2:]], rows=rows)


def _are_hhmm(hours: list[str]) -> bool:
    """Whether cells are 0930, also without zeros in front; 1 to 24 are hours, not minutes past midnight."""
    if not all(hour.isdecimal() for hour in hours) or max(map(int, hours)) < 100:
        return False
    return all(int(hour) % 100 < 60 and int(hour) < 2400 for hour in hours)


def sort_rows(sheet: Sheet, time: TimeColumn) -> tuple[np.ndarray, tuple[str, ...]]:
    """Indices of the rows to take, in the order of time, and what was done, in words.

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
        raise UserError(_explain_order(sheet, time, take))
    return take, tuple(notes)


def _explain_order(sheet: Sheet, time: TimeColumn, take: np.ndarray) -> str:
    """Why times do not grow, and what to do."""
    steps = np.diff(time.values[take])
    at = int(take[np.argmax(steps <= 0) + 1])
    where, cell = sheet.place(at, 0), sheet.rows[at][0].strip()
    if (columns := _find_series_columns(sheet, time.values)) is not None:
        names = list(dict.fromkeys(_series_names(sheet, columns)))
        shown = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
        return (
            f"{where}: time {cell} repeats or goes back: long format, {len(names)} series below each other, named by "
            f"{' and '.join(sheet.head[column] for column in columns)} ({shown}); give each a column of its own, one "
            "row a time (pandas: pivot), or a file"
        )
    back = steps[steps <= 0]
    if time.unit == "seconds" and len(back) * 100 <= len(steps) + 100 and (back > -CLOCK_CHANGE).all():
        return (
            f"{where}: time {cell} repeats: clocks are set back there (end of summer time?); write times in UTC, "
            "or with their offset, such as 2024-10-27T02:00:00+01:00"
        )
    if (time.values[take] == time.values[at]).sum() > 1:
        return f"{where}: expected one row for each time, got several for {cell}"
    untimed = time.format is times.NUMBER and sheet.head[0].lower() not in TIME_NAMES
    if untimed and (steps < 0).sum() > BACKWARD * len(steps):
        return (
            f"{where}: {cell} after a larger number, and so on; is {sheet.head[0]} a time? the first column holds the "
            "times: put them there, or a number a row (0, 1, 2, ...) if there are none"
        )
    return f"{where}: expected times that grow, got {cell} after a later one: sort the rows"


def _find_series_columns(sheet: Sheet, values: np.ndarray) -> tuple[int, ...] | None:
    """The column, or two, whose few values name the series of a long table: in each times only grow, or only fall."""
    distinct = {column: len(set(_series_names(sheet, (column,)))) for column in range(1, len(sheet.head))}
    few = sorted((column for column, count in distinct.items() if 1 < count <= len(values) / 2), key=distinct.get)  # type: ignore[arg-type]
    for columns in (*((column,) for column in few), *itertools.combinations(few[:PAIRED], 2)):
        kinds, number = np.unique(np.array(_series_names(sheet, columns)), return_inverse=True)
        rows = np.argsort(number, kind="stable")
        series = np.split(values[rows], np.cumsum(np.bincount(number))[:-1])
        if len(kinds) <= len(values) / 2 and all(_is_monotone(np.diff(times)) for times in series):
            return columns
    return None


def _series_names(sheet: Sheet, columns: tuple[int, ...]) -> list[str]:
    return [" ".join(row[column].strip() for column in columns) for row in sheet.rows]


def _is_monotone(steps: np.ndarray) -> bool:
    return bool((steps > 0).all() or (steps < 0).all())
