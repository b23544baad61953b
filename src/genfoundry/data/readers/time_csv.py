"""CSV files of series: a header, the time in the first column, numbers in the others; NaN where a cell is empty."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genfoundry.data.readers import csv_cells, numerals, time_columns, time_order, times
from genfoundry.data.readers.csv_cells import Sheet
from genfoundry.data.readers.numerals import Decimal
from genfoundry.data.readers.times import Clock, Form
from genfoundry.errors import UserError


@dataclass(frozen=True)
class Table:
    """The header, the time's column first; rows (L, 1 + D) float64, likewise; the line of the file of each.

    `form` and `decimal` are how its times and numbers are written; `notes` say what is unusual and how it was read.
    """

    path: Path
    head: tuple[str, ...]
    clock: Clock
    rows: np.ndarray
    lines: np.ndarray
    form: Form = times.NUMBER
    decimal: Decimal = "."
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The columns of values."""
        return self.head[1:]


def read(path: Path, clock: Clock | None = None, columns: tuple[str, ...] = (), earlier: Table | None = None) -> Table:
    """A CSV file, its rows in the order of time.

    Times are numbers, or dates that become days since 1970 (with a time of day: seconds; months: months).

    Args:
        path: .csv or .csv.gz.
        clock: what the times are; None: what the first row's is. "months": dates count in months since 1970.
        columns: those of values that are taken, in this order; (): all.
        earlier: the series that this file goes on: what can be read in two ways is read as there.

    Raises:
        UserError: not a table, a cell is no time or number, or times do not grow; says in which line and column.
    """
    return parse(csv_cells.read(path), clock, columns, earlier)


def parse(
    cells: Sheet, clock: Clock | None = None, columns: tuple[str, ...] = (), earlier: Table | None = None
) -> Table:
    """`read` for the cells of a file."""
    cells, own = time_columns.joined(cells)
    clock = own or clock
    taken = _taken(cells, columns)
    time = _times(cells, clock, earlier)
    rows, notes = time_order.arrange(cells, time)
    if not columns:
        _not_a_count(cells, taken)
    decimal = _decimal(cells, taken, earlier)
    values = [_values(cells, column, decimal) for column in taken]
    notes = (*notes, *_manner(cells, taken, decimal, time.form))
    table = np.stack([time.values, *values], 1)[rows]
    head = (cells.head[0], *(cells.head[column] for column in taken))
    lines = np.array(cells.lines)[rows]
    return Table(cells.path, head, time.clock, table, lines, time.form, decimal, (*cells.notes, *notes))


def _times(cells: Sheet, clock: Clock | None, earlier: Table | None) -> times.Column:
    """The first column; numbers in it may have a decimal comma."""
    texts = cells.column(0)
    if not numerals.decimals(texts[0]) and not times.is_date(texts[0].strip()):
        years = [name for name in cells.head[1:] if times.is_date(name) or re.fullmatch(r"(1[89]|20|21)\d\d", name)]
        if len(years) > 1 and 2 * len(years) > len(cells.head) - 1:
            raise UserError(
                f"{cells.path}: times stand in the header ({', '.join(years[:3])}, ...); a row a time and a column a "
                "series are right: transpose the table"
            )
    if any(numerals.plain(text.strip()) is None for text in texts) and all(map(numerals.decimals, texts)):
        mark = numerals.decimal_of(texts)
        values = [numerals.number(text, ",") for text in texts] if mark == "," else [None]
        texts = texts if None in values else [repr(value) for value in values]
    return times.column(texts, lambda row: cells.place(row, 0), clock, earlier.form if earlier else None)


def _manner(cells: Sheet, taken: list[int], decimal: Decimal, form: Form) -> Iterator[str]:
    """How numbers and times are written, where that is not the usual way."""
    if decimal == ",":
        yield "numbers have a decimal comma"
    elif any("," in cell for column in taken for cell in cells.column(column)):
        yield "numbers have commas between thousands"
    if form not in (times.NUMBER, times.ISO):
        yield f"times are {form.name}"


def _taken(cells: Sheet, columns: tuple[str, ...]) -> list[int]:
    """Where the columns are."""
    if absent := [name for name in columns if name not in cells.head[1:]]:
        raise UserError(f"{cells.path}: no column {', '.join(absent)} to take; there are {', '.join(cells.head[1:])}")
    return [cells.head.index(name) for name in columns] or list(range(1, len(cells.head)))


def numeric(cells: Sheet) -> list[str]:
    """The columns whose cells are all numbers or missing, not all missing, and no count of the rows."""
    return [name for column, name in enumerate(cells.head) if column and _is_numeric(cells.column(column), name)]


def _is_numeric(cells: list[str], name: str) -> bool:
    able = [bool(numerals.decimals(cell)) for cell in cells if not numerals.missing(cell)]
    return any(able) and all(able) and not is_count(cells, name)


def is_count(cells: list[str], name: str) -> bool:
    """Whether a column numbers the rows, by its name and its cells."""
    return name.lower() in (*csv_cells.COUNTERS, "", "unnamed: 0") and csv_cells.counts(cells)


def _not_a_count(cells: Sheet, taken: list[int]) -> None:
    """Refuse a column that numbers the rows: it is no value, unless it is asked for by name."""
    for column in taken:
        if is_count(cells.column(column), cells.head[column]):
            name = cells.head[column] or f"{column + 1} (without a name)"
            raise UserError(f"{cells.path}: column {name} numbers the rows; {_others(cells)}")


def _others(cells: Sheet) -> str:
    """What the entry should say where a column is not for models."""
    names = numeric(cells)
    return f"columns: [{', '.join(names)}] in the data set's entry takes the {'others' if names[1:] else 'other'}"


def _decimal(cells: Sheet, taken: list[int], earlier: Table | None) -> Decimal:
    """The mark of the file's numbers, one for all columns.

    Raises:
        UserError: two cells contradict each other, or every number with a mark can be read in two ways.
    """
    odd = [cell for column in taken for cell in cells.column(column) if numerals.plain(cell) is None]
    odd = [cell for cell in odd if not numerals.missing(cell)]
    if not odd and cells.delimiter == ",":
        return "."  # as nearly every file has them: without a second look at its cells
    mark = numerals.decimal_of(cell for column in taken for cell in cells.column(column))
    if isinstance(mark, tuple):
        raise UserError(f"{cells.path}: {mark[0]!r} has a decimal point, {mark[1]!r} a comma; one of the two is right")
    if mark in (".", ","):
        return "." if mark == "." else ","
    if mark is None or earlier is not None:
        return earlier.decimal if earlier else "."
    both = f"{numerals.number(mark, '.'):.15g} or {numerals.number(mark, ','):.15g}"
    raise UserError(f"{cells.path}: {mark!r} can be {both}, and no other cell tells; write numbers without thousands")


def _values(cells: Sheet, column: int, decimal: Decimal) -> list[float]:
    """A column's numbers."""
    found = []
    for row, cell in enumerate(cells.column(column)):
        value = math.nan if numerals.missing(cell) else numerals.number(cell, decimal)
        if value is None:
            raise UserError(f"{cells.place(row, column)}: {cell!r} is not a number{_remedy(cells, column, cell)}")
        found.append(value)
    return found


def _remedy(cells: Sheet, column: int, cell: str) -> str:
    """What to do with a column, or a cell, that holds something else than numbers."""
    if hint := numerals.hint(cell):
        return hint
    if any(times.is_date(text) for text in words(cells, column)):
        return "; times are expected in the first column, and in that one alone"
    if words(cells, column):
        flags = {text.strip().lower() for text in words(cells, column)} <= {"true", "false", "yes", "no"}
        return f"; {_others(cells)}" if numeric(cells) else "; write 1 and 0 instead of words" if flags else ""
    return "" if any(c.isdigit() for c in cell) else "; leave the cell empty where there is no value"


def words(cells: Sheet, column: int) -> list[str]:
    """The cells that are neither numbers nor missing, where they are most of the column; else none."""
    given = [text for text in cells.column(column) if not numerals.missing(text)]
    found = [text for text in given if not numerals.decimals(text) and not numerals.hint(text)]
    return found if 2 * len(found) > len(given) else []
