"""Templates, numbers in words, pictures as data: what every page is made with."""

from __future__ import annotations

import base64
import hashlib
import math
import struct
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Picture:
    """A PNG file as a data: URI; `says` is its alternative text, and what stands under it."""

    title: str
    says: str
    uri: str
    width: int
    height: int


@dataclass(frozen=True)
class Text:
    """A file of sample texts."""

    title: str
    says: str
    text: str


def page(template: str, *, home: str, scripts: tuple[str, ...] = (), **view: Any) -> str:
    """A page's HTML. `home` leads to the folder of index.html; `scripts` are names in the folder of templates.

    The content security policy forbids every request, and every script but these by their hash: a page can be mailed,
    opened from disk or attached to a run, and a name out of params.yaml cannot make it do anything.
    """
    sources = [Markup((TEMPLATES / name).read_text(encoding="utf-8")) for name in scripts]
    allowed = [f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'" for one in sources]
    style = Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))
    frame = {"style": style, "scripts": sources, "allowed": " ".join(allowed) or "'none'", "home": home}
    return _environment().get_template(template).render(**frame, **view) + "\n"


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"number": number, "setting": setting, "fixed": fixed}
    return made


def picture(path: Path, title: str, says: str) -> Picture | None:
    """The PNG file at `path`; None where there is none."""
    if not path.exists():
        return None
    content = path.read_bytes()
    width, height = struct.unpack(">II", content[16:24])  # of a PNG's first chunk
    return Picture(title, says, f"data:image/png;base64,{base64.b64encode(content).decode()}", width, height)


def text(path: Path, title: str, says: str) -> Text | None:
    """The text file at `path`; None where there is none."""
    return Text(title, says, path.read_text(encoding="utf-8")) if path.exists() else None


def number(value: float | None, digits: int = 4) -> str:
    """A number with so many significant digits, thousands apart, and a true minus sign."""
    if value is None:
        return "\N{EM DASH}"
    if (float(value).is_integer() and abs(value) < 1e15) or abs(value) >= 10**digits:
        shown = f"{value:,.0f}"
    else:
        shown = f"{value:.{digits}g}"
    return shown.replace("-", "\N{MINUS SIGN}") if shown.startswith("-") else shown


def setting(value: object) -> str:
    """A parameter's value: a number in few digits, all else as it is."""
    return number(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def fixed(value: float, decimals: int) -> str:
    """A number with so many decimals, so that a column's decimal points stand under each other.

    One that would show as zero and is none keeps its first digit.
    """
    shown = f"{value:,.{decimals}f}"
    if value and math.isfinite(value) and not float(shown.replace(",", "")):
        shown = f"{value:.1g}"
    return shown.replace("-", "\N{MINUS SIGN}", 1) if shown.startswith("-") else shown


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def size(count: float) -> str:
    """Bytes as a person says them, in powers of 1,000."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.3g} {unit}"
        count /= 1000
    raise AssertionError
