"""Numbers as tables write them: a decimal point or comma, groups of thousands. A cell with two readings is refused."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Literal

Decimal = Literal[".", ","]

ABSENT = {"", "na", "n/a", "#n/a", "#n/v", "nan", "null", "none", "nil", "?", "-", "--", "\u2013", "\u2014", ".", "..",
          ":", "missing", "<na>", "#na", "-nan", "nat", "n.a.", "n.d.", "\\n", "(null)", "no data", "not available",
          "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"}  # fmt: skip
SPACES = "'\u2019\u00a0\u202f\u2009 "  # between groups of thousands
GROUPED = re.compile(rf"\d{{1,3}}(?:[{SPACES}]\d{{3}})+(?![\d{SPACES}])", re.ASCII)
NUMBER = re.compile(r"([-+]?)([\d.,]*\d[\d.,]*)([eE][-+]?\d+)?", re.ASCII)
GROUPS = {mark: re.compile(rf"\d{{1,3}}(?:\{mark}\d{{3}})+", re.ASCII) for mark in ".,"}
UNITS = "%$€£¥"


def is_missing(cell: str) -> bool:
    """Whether a cell says that there is no value."""
    return cell.strip().lower() in ABSENT


def parse_plain(cell: str) -> float | None:
    """A finite number as Python writes it, but for `1_000`; None for any other cell."""
    if "_" in cell or not cell.isascii():
        return None
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def possible_marks(cell: str) -> str:
    """The decimal marks that a number can have: "." or "," if certain, ".," if both, "any" of 12, "" of no number."""
    match = NUMBER.fullmatch(_ungroup(cell))
    if not match:
        return ""
    digits = match[2]
    marks = "".join(mark for mark in ".," if _is_number(digits, mark))
    return "any" if marks and not set(digits) & {".", ","} else marks


def _is_number(digits: str, decimal: str) -> bool:
    """Whether digits with this decimal mark are a number: the other mark then stands between groups of three."""
    group = "," if decimal == "." else "."
    head, _, tail = digits.partition(decimal)
    if not tail.isdigit() and tail:
        return False
    return not head or head.isdigit() or (bool(GROUPS[group].fullmatch(head)) and not head.startswith("0"))


def _ungroup(cell: str) -> str:
    """Without spaces and apostrophes between groups of three digits, and with a minus that Python reads."""
    text = cell.strip().replace("\u2212", "-")
    return GROUPED.sub(lambda match: re.sub(f"[{SPACES}]", "", match[0]), text)


def find_decimal_mark(cells: Iterable[str]) -> Decimal | tuple[str, str] | str | None:
    """The decimal mark that every cell of a table can have.

    Returns:
        "." or ","; two cells that contradict each other; one cell, where all can have either; None without any mark.
    """
    certain: dict[str, str] = {}
    doubtful = ""
    for cell in cells:
        marks = possible_marks(cell)
        if marks in (".", ","):
            certain.setdefault(marks, cell)
        elif marks == ".,":
            doubtful = doubtful or cell
    if len(certain) == 2:
        return certain["."], certain[","]
    return next(iter(certain), doubtful or None)


def parse_number(cell: str, decimal: Decimal) -> float | None:
    """The number of a cell with this decimal mark; None where it is none."""
    if decimal == "." and (value := parse_plain(cell.strip())) is not None:
        return value
    match = NUMBER.fullmatch(_ungroup(cell))
    if not match or not _is_number(match[2], decimal):
        return None
    digits = match[2].replace("," if decimal == "." else ".", "").replace(decimal, ".")
    return parse_plain(f"{match[1]}{digits}{match[3] or ''}")


def suggest_fix(cell: str) -> str:
    """What to write instead of a cell that is no number."""
    text = cell.strip()
    if text.lower().lstrip("+-") in ("inf", "infinity"):
        return "; write a finite number, or leave the cell empty"
    if "_" in text and parse_plain(text.replace("_", "")) is not None:
        return f"; write {text.replace('_', '')} or {text.replace('_', '.')}, whichever is meant"
    bare = text.strip(f"{UNITS} \u00a0")
    if bare != text and possible_marks(bare) and (units := dict.fromkeys(c for c in text if c in UNITS)):
        return f"; take {''.join(units)} out of the cells, so that the unit stands in the header alone"
    return ""
