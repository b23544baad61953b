"""A column of times: one format that fits all cells, and the unit that it counts. Nothing is guessed.

Every format is strict: a cell has it or has not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, timezone
from typing import Literal

import numpy as np

from genfoundry.data.readers import numerals
from genfoundry.errors import UserError

Time = float | datetime
TimeUnit = Literal["number", "days", "seconds", "months"]
Where = Callable[[int], str]  # row -> file, line and column, for messages

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DATES = 0.9  # share of valid dates among digits that makes the others mistakes
DATES_ROWS = 24  # rows on which that can be seen
YEARS = range(1800, 2201)  # of dates that are digits alone: other numbers are numbers
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
FULL = "january|february|march|april|june|july|august|september|october|november|december|sept"
NAME = rf"(?P<name>{'|'.join(MONTHS)}|{FULL})\.?"
HOURS = r"(?:[T ,]+(?P<H>\d{1,2}):(?P<M>\d\d)(?::(?P<S>\d\d)(?:[.,](?P<f>\d{1,6}))?)?"
HOURS += r"(?: ?(?P<half>[AP])M)?(?: ?(?P<zone>Z|UTC|GMT|[-+]\d\d:?\d\d))?)?"


@dataclass(frozen=True)
class TimeFormat:
    """A way to write a time: its name in messages, its parser (None: another format), whether it names a month."""

    name: str
    parse: Callable[[str], Time | None]
    months: bool = False


def _by_pattern(name: str, pattern: str, months: bool = False) -> TimeFormat:
    compiled = re.compile(pattern if months else pattern + HOURS, re.ASCII | re.IGNORECASE)

    def parse(cell: str) -> datetime | None:
        match = compiled.fullmatch(cell)
        return None if match is None else _to_datetime({k: v for k, v in match.groupdict().items() if v is not None})

    return TimeFormat(name, parse, months)


def _to_datetime(part: dict[str, str]) -> datetime | None:
    """A match's groups as a time; None where there is no such day or hour."""
    month = 3 * int(part["q"]) - 2 if "q" in part else int(part.get("m", 1))
    if "name" in part:
        month = MONTHS.index(part["name"][:3].lower()) + 1
    hour = int(part.get("H", 0))
    if "half" in part:
        hour = hour % 12 + 12 * (part["half"].lower() == "p") if 1 <= hour <= 12 else 99
    minute, second, micro = int(part.get("M", 0)), int(part.get("S", 0)), int(part.get("f", "0").ljust(6, "0"))
    try:
        zone = _parse_zone(part.get("zone"))
        return datetime(int(part["y"]), month, int(part.get("d", 1)), hour, minute, second, micro, zone)
    except ValueError:
        return None


def _parse_zone(text: str | None) -> timezone | None:
    if text is None:
        return None
    if text[0] not in "+-":
        return UTC
    minutes = int(text[1:3]) * 60 + int(text[-2:])
    return timezone(timedelta(minutes=minutes if text[0] == "+" else -minutes))


def _parse_iso(cell: str) -> datetime | None:
    """2024-05, 2024-05-31, with a time of day, an offset; also weeks (2024-W22-5)."""
    if cell.isdigit():
        return None
    try:
        return datetime.fromisoformat(f"{cell}-01" if re.fullmatch(r"\d{4}-\d\d", cell, re.ASCII) else cell)
    except ValueError:
        return None


def _parse_week(cell: str) -> datetime | None:
    """The Monday of 2024W22; ISO has it as 2024-W22."""
    match = re.fullmatch(r"(\d{4})-?W(\d\d)", cell, re.ASCII)
    try:
        return datetime.fromisocalendar(int(match[1]), int(match[2]), 1) if match else None
    except ValueError:
        return None


def _parse_week_digits(cell: str) -> datetime | None:
    """The Monday of 202422."""
    if not re.fullmatch(r"\d{6}", cell, re.ASCII) or int(cell[:4]) not in YEARS:
        return None
    return _parse_week(f"{cell[:4]}-W{cell[4:]}")


def _of_digits(pattern: str, length: int) -> Callable[[str], datetime | None]:
    def parse(cell: str) -> datetime | None:
        if len(cell) != length or not (cell.isascii() and cell.isdigit()) or int(cell[:4]) not in YEARS:
            return None
        try:
            return datetime.strptime(cell, pattern)
        except ValueError:
            return None

    return parse


NUMBER = TimeFormat("a number", numerals.parse_plain)
# Digits that fit numbers as well: dates where they pass from one year to the next.
YEARLY = (TimeFormat("YYYYWW", _parse_week_digits), TimeFormat("YYYYDDD", _of_digits("%Y%j", 7)))
DIGITS = (
    TimeFormat("YYYYMM", _of_digits("%Y%m", 6), months=True),
    TimeFormat("YYYYMMDD", _of_digits("%Y%m%d", 8)),
    TimeFormat("YYYYMMDDhh", _of_digits("%Y%m%d%H", 10)),
    TimeFormat("YYYYMMDDhhmm", _of_digits("%Y%m%d%H%M", 12)),
    TimeFormat("YYYYMMDDhhmmss", _of_digits("%Y%m%d%H%M%S", 14)),
    *YEARLY,
    _by_pattern("YYYY.MM", r"(?P<y>1[89]\d\d|20\d\d|21\d\d)\.(?P<m>0[1-9]|1[0-2])", months=True),
    _by_pattern("MM.YYYY", r"(?P<m>0?[1-9]|1[0-2])\.(?P<y>1[89]\d\d|20\d\d|21\d\d)", months=True),
)
Y, M, D, Q = r"(?P<y>\d{4})", r"(?P<m>\d{1,2})", r"(?P<d>\d{1,2})", r"(?P<q>[1-4])"
ISO = TimeFormat("an ISO date such as 2024-05-31", _parse_iso)
DAY_FIRST = _by_pattern("DD/MM/YYYY", rf"{D}(?P<s>[/-]){M}(?P=s){Y}")
MONTH_FIRST = _by_pattern("MM/DD/YYYY", rf"{M}(?P<s>[/-]){D}(?P=s){Y}")
FORMATS = (
    ISO,
    TimeFormat("YYYY-Www", _parse_week),
    _by_pattern("YYYY-M-D", rf"{Y}-{M}-{D}"),
    _by_pattern("YYYY/MM/DD", rf"{Y}(?P<s>[/.]){M}(?P=s){D}"),
    _by_pattern("DD.MM.YYYY", rf"{D}\. ?{M}\. ?{Y}"),
    DAY_FIRST,
    MONTH_FIRST,
    _by_pattern("DD-Mon-YYYY", rf"{D}[- ./]*{NAME}[- ./]*{Y}"),
    _by_pattern("Mon DD, YYYY", rf"{NAME} {D},? {Y}"),
    _by_pattern("YYYYMmm", rf"{Y}[-/ :]?M{M}", months=True),
    _by_pattern("YYYYQq", rf"{Y}[-/ :]?Q{Q}", months=True),
    _by_pattern("Qq YYYY", rf"Q{Q}[-/ ]?{Y}", months=True),
    _by_pattern("qQYYYY", rf"{Q}Q[-/ ]?{Y}", months=True),
    _by_pattern("Mon-YYYY", rf"{NAME}[-/ ,]*{Y}", months=True),
    _by_pattern("YYYY Mon", rf"{Y}[-/ ]*{NAME}", months=True),
    _by_pattern("MM/YYYY", rf"{M}[/.-]{Y}", months=True),
    _by_pattern("YYYY/MM", rf"{Y}[/-]{M}", months=True),
)
SHORT_YEAR = re.compile(
    rf"\d{{1,2}}[./-]\d{{1,2}}[./-]\d\d\b.*|(\d{{1,2}}[- ]?)?({'|'.join(MONTHS)})[a-z]*[- ]?\d\d", re.I | re.A
)


@dataclass(frozen=True)
class TimeColumn:
    """Times in one format: `values` (L,) counted in `unit` since 1970, or plain numbers."""

    format: TimeFormat
    unit: TimeUnit
    values: np.ndarray


def is_date(cell: str) -> bool:
    """Whether a cell is a date in any format that is not digits alone."""
    return any(form.parse(cell.strip()) is not None for form in FORMATS)


def parse_times(
    cells: Sequence[str], where: Where, unit: TimeUnit | None = None, form: TimeFormat | None = None
) -> TimeColumn:
    """Parse a column of times: numbers, or dates as days since 1970 (with a time of day seconds; months as months).

    Args:
        cells: their text (L,), at least one.
        where: file, line and column of a row's cell, for messages.
        unit: what to count; None: what the first cell's format has.
        form: a format to prefer, that of an earlier part of the series.

    Raises:
        UserError: a cell is no time, is in another format than the others, or they can be read in two ways.
    """
    cells = [cell.strip() for cell in cells]
    for row, cell in enumerate(cells):
        if numerals.is_missing(cell):
            raise UserError(f"{where(row)}: expected a time, got none; a row without a time cannot be placed")
    if form is None or any(form.parse(cell) is None for cell in cells) or (form is NUMBER) != (unit == "number"):
        form = NUMBER if unit == "number" else _find_format(cells, where, unit)
    parsed = [form.parse(cell) for cell in cells]
    for row, moment in enumerate(parsed):
        if moment is None:
            raise UserError(f"{where(row)}: expected a time ({form.name}), got {cells[row]!r}{_remedy(cells[row])}")
    if form is NUMBER:
        return TimeColumn(form, "number", np.array(parsed, np.float64))
    moments = [moment for moment in parsed if isinstance(moment, datetime)]
    unit = unit or _find_unit(form, cells[0], moments)
    return TimeColumn(form, unit, _count(moments, unit, cells, where))


def _find_format(cells: Sequence[str], where: Where, unit: TimeUnit | None) -> TimeFormat:
    """The only format that all cells have."""
    if (digits := _find_digits_format(cells, where)) is not None:
        return digits
    able = [form for form in ((NUMBER,) if unit is None else ()) + FORMATS if form.parse(cells[0]) is not None]
    if not able:
        expected = "a number, or a date such as 2024-05-31" if unit is None else "a date such as 2024-05-31"
        # Of one line without digits, it is clear which one to delete.
        several = len(cells) > 1 and not any(c.isdigit() for c in cells[0] + cells[1])
        names = ", so that the line of names is first, right above the rows" if several else ""
        raise UserError(f"{where(0)}: expected a time ({expected}), got {cells[0]!r}{_remedy(cells[0])}{names}")
    for row, cell in enumerate(cells):
        left = [form for form in able if form.parse(cell) is not None]
        if not left:
            raise UserError(f"{where(row)}: expected a time ({able[0].name}), got {cell!r}{_remedy(cell)}")
        able = left
        if len(able) == 1 and row > DATES_ROWS:
            break  # `parse_times` checks the other rows
    return able[0] if len(able) == 1 or DAY_FIRST not in able else _day_or_month(cells, where)


def _find_digits_format(cells: Sequence[str], where: Where) -> TimeFormat | None:
    """A date of digits alone, such as 202405, where (nearly) all cells are one: else they are numbers."""
    for form in DIGITS:
        if all(form.parse(cell) is None for cell in cells[:3]):
            continue
        wrong = [row for row, cell in enumerate(cells) if form.parse(cell) is None]
        if not wrong and (form not in YEARLY or len({cell[:4] for cell in cells}) > 1):
            return form
        if form not in YEARLY and len(cells) >= DATES_ROWS and len(wrong) < (1 - DATES) * len(cells):
            raise UserError(f"{where(wrong[0])}: expected a time ({form.name}, as elsewhere), got {cells[wrong[0]]!r}")
    return None


def _day_or_month(cells: Sequence[str], where: Where) -> TimeFormat:
    """Which of two numbers is the day: times only grow, or only fall, in one of the two readings."""
    ordered = []
    for form in (DAY_FIRST, MONTH_FIRST):
        steps = np.diff([moment.timestamp() for moment in map(form.parse, cells) if isinstance(moment, datetime)])
        if (steps > 0).all() or (steps < 0).all():
            ordered.append(form)
    if len(ordered) != 1:
        raise UserError(
            f"{where(0)}: expected dates with one reading, got {cells[0]!r} and others that can be DD/MM/YYYY and "
            "MM/DD/YYYY; write dates as YYYY-MM-DD"
        )
    return ordered[0]


def _remedy(cell: str) -> str:
    if SHORT_YEAR.fullmatch(cell):
        return "; a year of two digits may lie in two centuries, write all four"
    return "" if any(c.isdigit() for c in cell) else "; delete the line if it is a note, a unit or a total"


def _find_unit(form: TimeFormat, first: str, moments: list[datetime]) -> TimeUnit:
    """What to count: seconds also where most times are of a day, and midnight alone is written as a plain date."""
    if form.months:
        return "months"
    timed = sum(moment.time() != time() for moment in moments)
    shown = ":" in first or re.search(r"\dT\d", first) or "hh" in form.name
    return "seconds" if shown or 2 * timed > len(moments) else "days"


def _count(moments: list[datetime], unit: TimeUnit, cells: Sequence[str], where: Where) -> np.ndarray:
    """Days, seconds or months since 1970; a time without an offset is taken as UTC, if no other has one."""
    aware = [moment.tzinfo is not None for moment in moments]
    if any(aware) and not all(aware):
        row = aware.index(not aware[0])
        raise UserError(f"{where(row)}: expected all times or none with an offset from UTC, got {cells[row]!r}")
    if unit == "months":
        return np.array([12.0 * (moment.year - 1970) + moment.month - 1 for moment in moments])
    seconds = np.array([(m.replace(tzinfo=m.tzinfo or UTC) - EPOCH).total_seconds() for m in moments])
    if unit == "days" and (off := np.flatnonzero(seconds % 86400)).size:
        raise UserError(
            f"{where(off[0])}: expected a plain date, as in the first row, got {cells[off[0]]!r}; "
            "give all the same form"
        )
    return seconds / 86400 if unit == "days" else seconds
