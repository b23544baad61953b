"""The forms in which tables write a time, each strict: a cell has a form or it has not."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

from genfoundry.data.readers import numerals

Time = float | datetime
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
YEARS = range(1800, 2201)  # of dates that are digits alone: other numbers are numbers

FULL = "january|february|march|april|june|july|august|september|october|november|december|sept"
NAME = rf"(?P<name>{'|'.join(MONTHS)}|{FULL})\.?"
HOURS = r"(?:[T ,]+(?P<H>\d{1,2}):(?P<M>\d\d)(?::(?P<S>\d\d)(?:[.,](?P<f>\d{1,6}))?)?"
HOURS += r"(?: ?(?P<half>[AP])M)?(?: ?(?P<zone>Z|UTC|GMT|[-+]\d\d:?\d\d))?)?"


@dataclass(frozen=True)
class Form:
    """A way to write a time: its name in messages, what reads a cell (None: another form), whether it is a month."""

    name: str
    read: Callable[[str], Time | None]
    months: bool = False


def _pattern(name: str, pattern: str, months: bool = False) -> Form:
    compiled = re.compile(pattern if months else pattern + HOURS, re.ASCII | re.IGNORECASE)

    def read(cell: str) -> datetime | None:
        match = compiled.fullmatch(cell)
        return None if match is None else _moment({k: v for k, v in match.groupdict().items() if v is not None})

    return Form(name, read, months)


def _moment(part: dict[str, str]) -> datetime | None:
    """A match's groups as a time; None where there is no such day or hour."""
    month = int(part.get("m", 1))
    if "q" in part:
        month = 3 * int(part["q"]) - 2
    if "name" in part:
        month = MONTHS.index(part["name"][:3].lower()) + 1
    hour = int(part.get("H", 0))
    if "half" in part:
        hour = hour % 12 + 12 * (part["half"].lower() == "p") if 1 <= hour <= 12 else 99
    try:
        return datetime(
            int(part["y"]), month, int(part.get("d", 1)), hour, int(part.get("M", 0)), int(part.get("S", 0)),
            int(part.get("f", "0").ljust(6, "0")), _zone(part.get("zone")),
        )  # fmt: skip
    except ValueError:
        return None


def _zone(text: str | None) -> timezone | None:
    if text is None:
        return None
    if text[0] not in "+-":
        return UTC
    minutes = int(text[1:3]) * 60 + int(text[-2:])
    return timezone(timedelta(minutes=minutes if text[0] == "+" else -minutes))


def _iso(cell: str) -> datetime | None:
    """2024-05, 2024-05-31, with a time of day, an offset; also weeks (2024-W22-5)."""
    if cell.isdigit():
        return None
    try:
        return datetime.fromisoformat(f"{cell}-01" if re.fullmatch(r"\d{4}-\d\d", cell, re.ASCII) else cell)
    except ValueError:
        return None


def _week(cell: str) -> datetime | None:
    """The Monday of 2024W22; ISO has it as 2024-W22."""
    match = re.fullmatch(r"(\d{4})-?W(\d\d)", cell, re.ASCII)
    try:
        return datetime.fromisocalendar(int(match[1]), int(match[2]), 1) if match else None
    except ValueError:
        return None


def _week_digits(cell: str) -> datetime | None:
    """The Monday of 202422."""
    if not re.fullmatch(r"\d{6}", cell, re.ASCII) or int(cell[:4]) not in YEARS:
        return None
    return _week(f"{cell[:4]}-W{cell[4:]}")


def _digits(form: str, length: int) -> Callable[[str], datetime | None]:
    def read(cell: str) -> datetime | None:
        if len(cell) != length or not (cell.isascii() and cell.isdigit()) or int(cell[:4]) not in YEARS:
            return None
        try:
            return datetime.strptime(cell, form)
        except ValueError:
            return None

    return read


NUMBER = Form("a number", numerals.plain)
# Digits that fit numbers as well: dates where they pass from one year to the next.
YEARLY = (Form("YYYYWW", _week_digits), Form("YYYYDDD", _digits("%Y%j", 7)))
DIGITS = (
    Form("YYYYMM", _digits("%Y%m", 6), months=True),
    Form("YYYYMMDD", _digits("%Y%m%d", 8)),
    Form("YYYYMMDDhh", _digits("%Y%m%d%H", 10)),
    Form("YYYYMMDDhhmm", _digits("%Y%m%d%H%M", 12)),
    Form("YYYYMMDDhhmmss", _digits("%Y%m%d%H%M%S", 14)),
    *YEARLY,
    _pattern("YYYY.MM", r"(?P<y>1[89]\d\d|20\d\d|21\d\d)\.(?P<m>0[1-9]|1[0-2])", months=True),
    _pattern("MM.YYYY", r"(?P<m>0?[1-9]|1[0-2])\.(?P<y>1[89]\d\d|20\d\d|21\d\d)", months=True),
)
Y, M, D, Q = r"(?P<y>\d{4})", r"(?P<m>\d{1,2})", r"(?P<d>\d{1,2})", r"(?P<q>[1-4])"
ISO = Form("an ISO date such as 2024-05-31", _iso)
DAY_FIRST = _pattern("DD/MM/YYYY", rf"{D}(?P<s>[/-]){M}(?P=s){Y}")
MONTH_FIRST = _pattern("MM/DD/YYYY", rf"{M}(?P<s>[/-]){D}(?P=s){Y}")
FORMS = (
    ISO,
    Form("YYYY-Www", _week),
    _pattern("YYYY-M-D", rf"{Y}-{M}-{D}"),
    _pattern("YYYY/MM/DD", rf"{Y}(?P<s>[/.]){M}(?P=s){D}"),
    _pattern("DD.MM.YYYY", rf"{D}\. ?{M}\. ?{Y}"),
    DAY_FIRST,
    MONTH_FIRST,
    _pattern("DD-Mon-YYYY", rf"{D}[- ./]*{NAME}[- ./]*{Y}"),
    _pattern("Mon DD, YYYY", rf"{NAME} {D},? {Y}"),
    _pattern("YYYYMmm", rf"{Y}[-/ :]?M{M}", months=True),
    _pattern("YYYYQq", rf"{Y}[-/ :]?Q{Q}", months=True),
    _pattern("Qq YYYY", rf"Q{Q}[-/ ]?{Y}", months=True),
    _pattern("qQYYYY", rf"{Q}Q[-/ ]?{Y}", months=True),
    _pattern("Mon-YYYY", rf"{NAME}[-/ ,]*{Y}", months=True),
    _pattern("YYYY Mon", rf"{Y}[-/ ]*{NAME}", months=True),
    _pattern("MM/YYYY", rf"{M}[/.-]{Y}", months=True),
    _pattern("YYYY/MM", rf"{Y}[/-]{M}", months=True),
)
SHORT = re.compile(
    rf"\d{{1,2}}[./-]\d{{1,2}}[./-]\d\d\b.*|(\d{{1,2}}[- ]?)?({'|'.join(MONTHS)})[a-z]*[- ]?\d\d", re.I | re.A
)
