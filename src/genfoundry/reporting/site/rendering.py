"""Rendering of pages: templates, number formats, and pictures as data URIs."""

from __future__ import annotations

import base64
import hashlib
import math
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"


PAIR = re.compile(r"^source {6}(.*)\ntranslated {2}(.*)\ntrue {8}(.*)$", re.MULTILINE)  # as evaluation writes them


@dataclass(frozen=True)
class Picture:
    """A PNG file as a data URI; title and description are its alternative text."""

    title: str
    description: str
    uri: str
    width: int
    height: int


@dataclass(frozen=True)
class Text:
    """A file of sample texts; of a translation model also (source, translation, true target) per item."""

    title: str
    description: str
    text: str
    pairs: Sequence[tuple[str, str, str]] = ()


Panel = Picture | Text


def page(template: str, *, home: str, scripts: tuple[str, ...] = (), **view: Any) -> str:
    """Render a page. `home` leads to the folder of index.html; `scripts` are names in the folder of templates.

    The content security policy forbids every request, and every script but these by their hashes: a page can be mailed,
    opened from disk or attached to a run, and no name from params.yaml can inject code.
    """
    sources = [Markup((TEMPLATES / name).read_text(encoding="utf-8")) for name in scripts]
    # The policy compares the hash of the script's exact text, so that no character of it may be escaped.
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in sources]
    style = Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))
    frame = {"style": style, "scripts": sources, "allowed": " ".join(hashes) or "'none'", "home": home}
    return _environment().get_template(template).render(**frame, **view) + "\n"


@cache
def _environment() -> Environment:
    loader = FileSystemLoader(TEMPLATES)
    # StrictUndefined: a variable that a template misspells is an error, not a gap in the page.
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": number, "setting": setting, "fixed": fixed}
    return environment


def picture(path: Path, title: str, description: str) -> Picture | None:
    """The PNG file at `path`; None where there is none."""
    if not path.exists():
        return None
    content = path.read_bytes()
    width, height = struct.unpack(">II", content[16:24])  # in the IHDR chunk, which is a PNG's first
    return Picture(title, description, f"data:image/png;base64,{base64.b64encode(content).decode()}", width, height)


def text(path: Path, title: str, description: str) -> Text | None:
    """The text file at `path`; None where there is none."""
    if not path.exists():
        return None
    content = path.read_text(encoding="utf-8")
    return Text(title, description, content, PAIR.findall(content))


def number(value: float | None, digits: int = 4) -> str:
    """Format a number with so many significant digits, a thousands separator and a true minus sign."""
    if value is None:
        return "\N{EM DASH}"
    # A number with more digits before the point than asked for is written out: `g` would give it an exponent.
    integer = (float(value).is_integer() and abs(value) < 1e15) or abs(value) >= 10**digits
    return _with_minus(f"{value:,.0f}" if integer else f"{value:.{digits}g}")


def setting(value: object) -> str:
    """Format a parameter's value: a number in few digits, all else as it is."""
    return number(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def fixed(value: float, decimals: int) -> str:
    """Format a number with so many decimals, so that the decimal points of a column align.

    One that would round to zero and is not zero keeps its first digit.
    """
    rounded = f"{value:,.{decimals}f}"
    # A tiny rate that shows as 0.00 would be read as none at all.
    lost = value and math.isfinite(value) and not float(rounded.replace(",", ""))
    return _with_minus(f"{value:.1g}" if lost else rounded)


def _with_minus(digits: str) -> str:
    return digits.replace("-", "\N{MINUS SIGN}", 1) if digits.startswith("-") else digits


def duration(seconds: float) -> str:
    """Format seconds: "4.2 s", "12 min 5 s", "3 h 20 min"."""
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def size(count: float) -> str:
    """Format a number of bytes in powers of 1,000."""
    exponent = min(int(math.log10(max(count, 1)) / 3), 3)
    return f"{count / 1000**exponent:.3g} {('B', 'kB', 'MB', 'GB')[exponent]}"
