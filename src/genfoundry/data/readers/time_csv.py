"""CSV files of series: a header, the time in the first column, numbers in the others; NaN where a cell is empty."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genfoundry.data.readers import csv_cells, numerals, time_columns, times
from genfoundry.data.readers.csv_cells import Sheet
from genfoundry.data.readers.numerals import Decimal
from genfoundry.data.readers.times import TimeFormat, TimeUnit
from genfoundry.errors import UserError


@dataclass(frozen=True)
class SeriesTable:
    """The header, the time's column first; rows (L, 1 + D) float64, likewise; the line of the file of each.

    `form` and `decimal` are how its times and numbers are written; `notes` say what is unusual and how it was read.
    """

    path: Path
    head: tuple[str, ...]
    unit: TimeUnit
    rows: np.ndarray
    lines: np.ndarray
    form: TimeFormat = times.NUMBER
    decimal: Decimal = "."
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The columns of values."""
        return self.head[1:]


def read_series(
    path: Path, unit: TimeUnit | None = None, columns: tuple[str, ...] = (), earlier: SeriesTable | None = None
) -> SeriesTable:
    """Read a CSV file, its rows in the order of time.

    Times are numbers, or dates that become days since 1970 (with a time of day: seconds; months: months).

    Args:
        path: .csv or .csv.gz.
        unit: what the times count; None: what the first row's does. "months": dates count in months since 1970.
        columns: those of values that are taken, in this order; (): all.
        earlier: the series that this file goes on: what can be read in two ways is read as there.

    Raises:
        UserError: not a table, a cell is no time or number, or times do not grow; says in which line and column.
    """
    return parse_series(csv_cells.read_sheet(path), unit, columns, earlier)


def parse_series(
    sheet: Sheet, unit: TimeUnit | None = None, columns: tuple[str, ...] = (), earlier: SeriesTable | None = None
) -> SeriesTable:
    """`read_series` for the cells of a file."""
    sheet, implied = time_columns.join_time_columns(sheet)
    taken = _find_columns(sheet, columns)
    time = _parse_times(sheet, implied or unit, earlier)
    rows, notes = time_columns.sort_rows(sheet, time)
    for column in () if columns else taken:
        if is_row_count(sheet.column(column), sheet.head[column]):
            name = sheet.head[column] or f"{column + 1} (without a name)"
            raise UserError(
                f"{sheet.path}: expected values, got row numbers in column {name}; {_suggest_columns(sheet)}"
            )
    decimal = _find_decimal_mark(sheet, taken, earlier)
    values = [_parse_values(sheet, column, decimal) for column in taken]
    notes = (*sheet.notes, *notes, *_describe_notation(sheet, taken, decimal, time.format))
    table = np.stack([time.values, *values], 1)[rows]  # (L, 1 + D)
    head = (sheet.head[0], *(sheet.head[column] for column in taken))
    return SeriesTable(sheet.path, head, time.unit, table, np.array(sheet.lines)[rows], time.format, decimal, notes)


def _parse_times(sheet: Sheet, unit: TimeUnit | None, earlier: SeriesTable | None) -> times.TimeColumn:
    """The first column; numbers in it may have a decimal comma."""
    texts = sheet.column(0)
    if not numerals.possible_marks(texts[0]) and not times.is_date(texts[0].strip()):
        years = [name for name in sheet.head[1:] if times.is_date(name) or re.fullmatch(r"(1[89]|20|21)\d\d", name)]
        if len(years) > 1 and 2 * len(years) > len(sheet.head) - 1:
            raise UserError(
                f"{sheet.path}: expected a row a time and a column a series, got times in the header "
                f"({', '.join(years[:3])}, ...): transpose the table"
            )
    if any(numerals.parse_plain(text.strip()) is None for text in texts) and all(map(numerals.possible_marks, texts)):
        mark = numerals.find_decimal_mark(texts)
        values = [numerals.parse_number(text, ",") for text in texts] if mark == "," else [None]
        texts = texts if None in values else [repr(value) for value in values]
    return times.parse_times(texts, lambda row: sheet.place(row, 0), unit, earlier.form if earlier else None)


def _describe_notation(sheet: Sheet, taken: list[int], decimal: Decimal, form: TimeFormat) -> Iterator[str]:
    """How numbers and times are written, where that is not the usual way."""
    if decimal == ",":
        yield "numbers have a decimal comma"
    elif any("," in cell for column in taken for cell in sheet.column(column)):
        yield "numbers have commas between thousands"
    if form not in (times.NUMBER, times.ISO):
        yield f"times are {form.name}"


def _find_columns(sheet: Sheet, columns: tuple[str, ...]) -> list[int]:
    """The numbers of the columns to take."""
    if absent := [name for name in columns if name not in sheet.head[1:]]:
        raise UserError(f"{sheet.path}: expected columns {', '.join(absent)}, got {', '.join(sheet.head[1:])}")
    return [sheet.head.index(name) for name in columns] or list(range(1, len(sheet.head)))


def numeric_columns(sheet: Sheet) -> list[str]:
    """The columns whose cells are all numbers or missing, not all missing, and no count of the rows."""
    return [name for column, name in enumerate(sheet.head) if column and _is_numeric(sheet.column(column), name)]


def _is_numeric(cells: list[str], name: str) -> bool:
    numbers = [bool(numerals.possible_marks(cell)) for cell in cells if not numerals.is_missing(cell)]
    return any(numbers) and all(numbers) and not is_row_count(cells, name)


def is_row_count(cells: list[str], name: str) -> bool:
    """Whether a column numbers the rows, by its name and its cells."""
    return name.lower() in (*csv_cells.COUNTER_NAMES, "", "unnamed: 0") and csv_cells.is_count(cells)


def _suggest_columns(sheet: Sheet) -> str:
    """What the entry should say where a column is not for models."""
    names = numeric_columns(sheet)
    return f"columns: [{', '.join(names)}] in the data set's entry takes the {'others' if names[1:] else 'other'}"


def _find_decimal_mark(sheet: Sheet, taken: list[int], earlier: SeriesTable | None) -> Decimal:
    """The mark of the file's numbers, one for all columns.

    Raises:
        UserError: two cells contradict each other, or every number with a mark can be read in two ways.
    """
    odd = [cell for column in taken for cell in sheet.column(column) if numerals.parse_plain(cell) is None]
    if sheet.delimiter == "," and all(map(numerals.is_missing, odd)):
        return "."  # as nearly every file has them: without a second look at its cells
    mark = numerals.find_decimal_mark(cell for column in taken for cell in sheet.column(column))
    if isinstance(mark, tuple):
        raise UserError(
            f"{sheet.path}: expected one decimal mark, got a point in {mark[0]!r} and a comma in {mark[1]!r}"
        )
    if mark in (".", ","):
        return "." if mark == "." else ","
    if mark is None or earlier is not None:
        return earlier.decimal if earlier else "."
    both = f"{numerals.parse_number(mark, '.'):.15g} or {numerals.parse_number(mark, ','):.15g}"
    raise UserError(
        f"{sheet.path}: expected a clear decimal mark, got {mark!r}, {both}; write numbers without thousands"
    )


def _parse_values(sheet: Sheet, column: int, decimal: Decimal) -> list[float]:
    """A column's numbers."""
    values = []
    for row, cell in enumerate(sheet.column(column)):
        value = math.nan if numerals.is_missing(cell) else numerals.parse_number(cell, decimal)
        if value is None:
            raise UserError(
                f"{sheet.place(row, column)}: expected a number, got {cell!r}{_remedy(sheet, column, cell)}"
            )
        values.append(value)
    return values


def _remedy(sheet: Sheet, column: int, cell: str) -> str:
    """What to do with a column, or a cell, that holds something else than numbers."""
    if fix := numerals.suggest_fix(cell):
        return fix
    words = find_words(sheet, column)
    if any(map(times.is_date, words)):
        return "; times are expected in the first column, and in that one alone"
    if words:
        flags = {text.strip().lower() for text in words} <= {"true", "false", "yes", "no"}
        others = f"; {_suggest_columns(sheet)}" if numeric_columns(sheet) else ""
        return others or ("; write 1 and 0 instead of words" if flags else "")
    return "" if any(c.isdigit() for c in cell) else "; leave the cell empty where there is no value"


def find_words(sheet: Sheet, column: int) -> list[str]:
    """The cells that are neither numbers nor missing, where they are most of the column; else none."""
    given = [text for text in sheet.column(column) if not numerals.is_missing(text)]
    words = [text for text in given if not numerals.possible_marks(text) and not numerals.suggest_fix(text)]
    return words if 2 * len(words) > len(given) else []
