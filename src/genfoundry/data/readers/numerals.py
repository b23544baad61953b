"""Numbers as tables write them: a decimal point or comma, thousands in groups. A cell of two meanings is refused."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from typing import Literal

Decimal = Literal[".", ","]

ABSENT = {
    "",
    "na",
    "n/a",
    "#n/a",
    "#n/v",
    "nan",
    "null",
    "none",
    "nil",
    "?",
    "-",
    "--",
    "\u2013",
    "\u2014",
    ".",
    "..",
    ":",
}
ABSENT |= {"missing", "<na>", "#na", "-nan", "nat", "n.a.", "n.d.", "\\n", "(null)", "no data", "not available"}
ABSENT |= {"1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"}
SPACES = "'\u2019\u00a0\u202f\u2009 "  # between groups of thousands
GROUPED = re.compile(rf"\d{{1,3}}(?:[{SPACES}]\d{{3}})+(?![\d{SPACES}])", re.ASCII)
NUMBER = re.compile(r"([-+]?)([\d.,]*\d[\d.,]*)([eE][-+]?\d+)?", re.ASCII)
GROUPS = {c: re.compile(rf"\d{{1,3}}(?:\{c}\d{{3}})+", re.ASCII) for c in ".,"}


def missing(cell: str) -> bool:
    """Whether a cell says that there is no value."""
    return cell.strip().lower() in ABSENT


def plain(cell: str) -> float | None:
    """A finite number with a decimal point or none and no groups, as Python has them but for `1_000`; else None."""
    if "_" in cell or not cell.isascii():
        return None
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def decimals(cell: str) -> str:
    """What a number's decimal mark may be: "." or "," where one is certain, ".," where both are, "" of no number.

    "12" has either: it is "any".
    """
    match = NUMBER.fullmatch(_ungrouped(cell))
    if not match:
        return ""
    digits = match[2]
    able = "".join(mark for mark in ".," if _reads(digits, mark))
    return "any" if able and not set(digits) & {".", ","} else able


def _reads(digits: str, decimal: str) -> bool:
    """Whether digits with this decimal mark are a number: the other mark then stands between groups of three."""
    group = "," if decimal == "." else "."
    head, _, tail = digits.partition(decimal)
    if not tail.isdigit() and tail:
        return False
    return not head or head.isdigit() or (bool(GROUPS[group].fullmatch(head)) and not head.startswith("0"))


def _ungrouped(cell: str) -> str:
    """Without spaces and apostrophes between groups of three digits, and with a minus that Python reads."""
    text = cell.strip().replace("\u2212", "-")
    return GROUPED.sub(lambda match: re.sub(f"[{SPACES}]", "", match[0]), text)


def decimal_of(cells: Iterable[str]) -> Decimal | tuple[str, str] | str | None:
    """The decimal mark that every cell of a table can have.

    Returns:
        "." or ","; two cells that contradict each other; one cell, where all can have either; None without any mark.
    """
    certain: dict[str, str] = {}
    doubtful = ""
    for cell in cells:
        able = decimals(cell)
        if able in (".", ","):
            certain.setdefault(able, cell)
        elif able == ".,":
            doubtful = doubtful or cell
    if len(certain) == 2:
        return certain["."], certain[","]
    for mark in certain:
        return "." if mark == "." else ","
    return doubtful or None


def number(cell: str, decimal: Decimal) -> float | None:
    """The number of a cell with this decimal mark; None where it is none."""
    if decimal == "." and (value := plain(cell.strip())) is not None:
        return value
    match = NUMBER.fullmatch(_ungrouped(cell))
    if not match or not _reads(match[2], decimal):
        return None
    digits = match[2].replace("," if decimal == "." else ".", "").replace(decimal, ".")
    return plain(f"{match[1]}{digits}{match[3] or ''}")


def hint(cell: str) -> str:
    """What would be right instead of a cell that is no number."""
    text = cell.strip()
    if text.lower().lstrip("+-") in ("inf", "infinity"):
        return "; a finite number is right, or an empty cell"
    if "_" in text and plain(text.replace("_", "")) is not None:
        return f"; {text.replace('_', '')} or {text.replace('_', '.')} is right, whichever is meant"
    signs = "".join(_signs(text))
    if signs:
        return f"; take {signs} out of the cells, so that the unit stands in the header alone"
    return ""


def _signs(text: str) -> Iterator[str]:
    bare = text.strip("%$€£¥ \u00a0")
    if bare != text and decimals(bare):
        yield from dict.fromkeys(c for c in text if c in "%$€£¥")
