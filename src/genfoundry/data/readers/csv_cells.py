"""The cells of a CSV file: what separates them, which line names the columns, which lines are no rows."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from genfoundry.data.readers import numerals, times
from genfoundry.data.readers.arrays import read_bytes
from genfoundry.errors import UserError
from genfoundry.files import LINE_END, decode_text, detect_encoding

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
SAMPLE = 30  # lines that the delimiter is found from
TIME_NAMES = ("time", "date", "datetime", "timestamp", "year", "month", "day", "period", "t")
COUNTER_NAMES = ("id", "index", "no", "nr", "row", "number", "#")
UNNAMED = re.compile(r"(Unnamed: 0(\.\d+)?)?", re.IGNORECASE)
Record = tuple[int, list[str]]  # line of the file, cells


@dataclass(frozen=True)
class Sheet:
    """Column names (D,), the line of the file of each row (L,), the rows' cells (L, D), and what was left out."""

    path: Path
    head: list[str]
    lines: list[int]
    rows: list[list[str]]
    delimiter: str = ","
    notes: list[str] = field(default_factory=list)

    def column(self, number: int) -> list[str]:
        """The cells (L,) of a column."""
        return [row[number] for row in self.rows]

    def place(self, row: int, column: int) -> str:
        """File, line and column of a cell, for messages."""
        return f"{self.path}:{self.lines[row]}: column {self.head[column]}"

    def without_first(self, note: str) -> Sheet:
        """The sheet without its first column, and with a note."""
        return replace(self, head=self.head[1:], rows=[row[1:] for row in self.rows], notes=[*self.notes, note])


def read_sheet(path: Path) -> Sheet:
    """Read the cells of a .csv or .csv.gz file: commas, semicolons, tabs or bars between them.

    Empty lines and lines that begin with # are left out, and so are `sep=;`, cells that are empty in every row beyond
    the last name, and the unnamed column that pandas counts rows in.

    Raises:
        UserError: not a table, no line of names, or a row has more or fewer cells than that line; says in which line.
    """
    raw = read_bytes(path)
    text, delimiter, notes = decode_text(path, raw), "", list[str]()
    if not (encoding := detect_encoding(raw)).startswith("utf-8"):
        notes.append(f"the file is {encoding.upper().removesuffix('-LE').removesuffix('-BE')}")
    first, *rest = LINE_END.split(text, maxsplit=1)
    if (start := first.strip(' "')).lower().startswith("sep=") and len(start) == 5:
        text, delimiter = "\n" + "".join(rest), start[4]  # lines keep their numbers
        notes.append(f"line 1 is {start}")
    delimiter = delimiter or _find_delimiter(text)
    try:
        records = list(_parse_records(text, delimiter))
    except csv.Error as error:
        raise UserError(f"{path}: not a table: {error}") from None
    comments = [record for record in records if record[1][0].lstrip().startswith("#")]
    records = [record for record in records if not record[1][0].lstrip().startswith("#")]
    if comments and records and _has_no_names(records[0][1]) and len(comments[-1][1]) == len(records[0][1]):
        line, names = comments.pop()  # the names stand behind a #
        records.insert(0, (line, [names[0].lstrip("# "), *names[1:]]))
    sheet = _to_sheet(path, records, delimiter)
    if comments:
        notes.append(f"{len(comments)} lines that begin with # are left out")
    if delimiter != ",":
        notes.append(f"cells are separated by {DELIMITERS.get(delimiter, repr(delimiter))}")
    sheet.notes[:0] = notes
    return _drop_pandas_index(sheet)


def _parse_records(text: str, delimiter: str) -> Iterator[Record]:
    """The line that each record begins in, and its cells; empty records are left out."""
    reader, line = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True), 1
    for row in reader:
        if any(cell.strip() for cell in row):
            yield line, row
        line = reader.line_num + 1


def _find_delimiter(text: str) -> str:
    """The delimiter that cuts most lines into as many cells as the first, the first of which can be a time."""
    lines: list[str] = []
    for line in io.StringIO(text, newline=None):
        if line.strip() and not line.startswith("#"):
            lines.append(line)
        if len(lines) > SAMPLE:
            break

    def score(delimiter: str) -> float:
        try:
            rows = list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True))
        except csv.Error:
            return 0.0
        if not rows or len(rows[0]) < 2:
            return 0.0
        body = rows[1:] or rows
        same_width = sum(len(row) == len(rows[0]) for row in body)
        timed = sum(not set(row[0]) & set(DELIMITERS) for row in body)
        return 1 + (same_width + timed) / len(body)

    return max(DELIMITERS, key=score)


def _to_sheet(path: Path, records: list[Record], delimiter: str) -> Sheet:
    """Names and rows of one width."""
    if len(records) < 2:
        raise UserError(f"{path}: expected a header and a row a time step, got no rows")
    (line, names), body = records[0], records[1:]
    head = [name.strip() for name in names]
    while len(head) > 1 and not head[-1] and all(not "".join(row[len(head) - 1 :]).strip() for _, row in body):
        head.pop()
    _check_head(f"{path}:{line}", names, head)
    if len(body) > 1 and not _has_digit(body[0][1]) and _has_digit(body[1][1]):
        raise UserError(
            f"{path}:{body[0][0]}: expected values, got a second line of names or units, {', '.join(body[0][1])}; "
            f"delete it (or line {line}, if that is a note)"
        )
    rows = []
    for number, row in body:
        while len(row) > len(head) and not row[-1].strip():
            row = row[:-1]
        if len(row) != len(head):
            hint = _width_hint(row, head, delimiter)
            raise UserError(f"{path}:{number}: expected {len(head)} cells, as in the header, got {len(row)}{hint}")
        rows.append(row)
    notes = ["an empty last column is left out"] if len(head) < len(names) else []
    return Sheet(path, head, [number for number, _ in body], rows, delimiter, notes)


def _check_head(where: str, names: list[str], head: list[str]) -> None:
    """Refuse a header of one column, of values, or with names that are empty or stand twice."""
    if len(head) < 2:
        raise UserError(
            f"{where}: expected the time and other columns, with commas, semicolons or tabs between, got one column, "
            f"{names}; delete lines above the one that names the columns"
        )
    if _has_no_names(head):
        raise UserError(
            f"{where}: expected a line that names the columns, such as time,value, got a row, {', '.join(head)}"
        )
    if "" in head[1:]:
        raise UserError(
            f"{where}: expected a name for every column of values, got none for column {head.index('', 1) + 1}"
        )
    if len(set(head)) < len(head):
        raise UserError(f"{where}: expected a different name for every column, got {', '.join(head)}")


def _width_hint(row: list[str], head: list[str], delimiter: str) -> str:
    """What may be wrong with a row of another width."""
    if delimiter == "," and len(row) > len(head) and all(c.strip().lstrip("-").isdigit() for c in row[len(head) - 1 :]):
        return "; is a comma the decimal mark? put such numbers in quotes, or semicolons between cells"
    return "; delete the line if it is a note or a total" if len(row) < len(head) else ""


def _has_digit(row: list[str]) -> bool:
    return any(c.isdigit() for c in "".join(row))


def _has_no_names(row: list[str]) -> bool:
    """Whether a line that should name columns is a row: a time or number first, then numbers or missing values."""
    cells = row[1:]
    numbers = [numerals.possible_marks(cell) for cell in cells]
    alike = all(number or numerals.is_missing(cell) for number, cell in zip(numbers, cells, strict=True))
    return any(numbers) and alike and (row[0][:1].isdigit() or times.is_date(row[0]))


def _drop_pandas_index(sheet: Sheet) -> Sheet:
    """Without pandas' unnamed index, where it counts rows and the second column holds the times."""
    if not UNNAMED.fullmatch(sheet.head[0]) or len(sheet.head) < 3 or not is_count(sheet.column(0)):
        return sheet
    again = UNNAMED.fullmatch(sheet.head[1]) and is_count(sheet.column(1))
    if not again and sheet.head[1].lower() not in TIME_NAMES and all(map(numerals.possible_marks, sheet.column(1))):
        return sheet
    return _drop_pandas_index(sheet.without_first("the unnamed first column counts rows and is left out"))


def is_count(cells: list[str]) -> bool:
    """Whether cells are consecutive whole numbers, from any first one on."""
    first = cells[0].strip() if cells else ""
    return first.isdecimal() and all(cell.strip() == str(i) for i, cell in enumerate(cells, int(first)))
