"""CSV of grey values, a row an image: as MNIST and its kin are passed on, the label first, last, named, or not there.

Without a header, the label's column is told from the pixels by its values: labels are 0..K-1 or 1..K, each several
times, and reach another maximum than grey values do. Where both ends could be labels, or neither, `label` decides.
"""

from __future__ import annotations

import csv
import io
import math
import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from genfoundry.config import LabelColumn
from genfoundry.data.readers.arrays import Array, ImageSet, read_bytes, read_start
from genfoundry.errors import UserError

LABEL_NAMES = {"label", "labels", "class", "target", "y", "digit", "category"}
INDEX_NAMES = {"", "id", "index", "unnamed: 0", "imageid", "image_id"}
PIXEL_NAME = re.compile(r"(pixel|pix|px|p|v|x|col|c)[ _.-]?\d+|\d+x\d+")
LEAST_SIDE = 4
WIDE = 64  # columns of numbers without a name: more are no series
MOST_CLASSES = 256


class AmbiguousLabel(UserError):
    """Two columns, or none, look like labels."""


@dataclass(frozen=True)
class Columns:
    """Which columns are pixels, and which one the label (None: there is none); `body` is the first row of values."""

    pixels: list[int]
    label: int | None
    body: int


def is_grey(path: Path) -> bool:
    """Whether a CSV holds images, by its first two lines: enough columns, their names or whole numbers in them."""
    first, *second = _first_rows(read_start(path))
    if not all(_parse(cell) is not None for cell in first):
        labels, pixels = _split_named(first)
        names = [first[i].strip().lower() for i in pixels]
        like = all(PIXEL_NAME.fullmatch(name) or (labels and name.isdigit()) for name in names)
        return like and len(pixels) >= LEAST_SIDE**2 and bool(labels or _side(len(pixels)))
    integers = all(cell.strip().removesuffix(".0").isdigit() for row in (first, *second) for cell in row)
    side = max(_side(len(first) - 1), _side(len(first)) if len(first) >= WIDE else 0)
    return len(first) > WIDE or (integers and side >= LEAST_SIDE)


def read_grey_csv(path: Path, label: LabelColumn | None = None) -> tuple[ImageSet, LabelColumn | None]:
    """Read square grey images, a row each; and where the label stands, if the header does not say.

    Raises:
        UserError: a cell is no whole number of 0 to 255, rows differ, or the label could be in two columns.
    """
    text = read_bytes(path)
    rows = _first_rows(text)
    columns = _find_columns(path, rows[0])
    values = _read_values(path, text, columns.body, len(rows[0]))
    at, column = columns.label, None
    if not columns.pixels:
        at, column = _find_label(path, values, label)
    pixels = columns.pixels or [i for i in range(values.shape[1]) if i != at]
    grey = values[:, pixels[0] : pixels[-1] + 1] if pixels[-1] - pixels[0] + 1 == len(pixels) else values[:, pixels]
    if grey.size and (grey.min() < 0 or grey.max() > 255):
        raise UserError(f"{path}: expected grey values from 0 to 255, got {grey.min():g} to {grey.max():g}")
    side = math.isqrt(len(pixels))
    labels = np.full(len(values), -1) if at is None else values[:, at].astype(np.int64)
    return ImageSet(grey.astype(np.uint8).reshape(-1, 1, side, side), labels, False, path.name), column


def _first_rows(text: bytes) -> list[list[str]]:
    lines = text[: 1 << 22].decode("utf-8-sig", "replace").splitlines()
    rows = list(csv.reader(islice(filter(str.strip, lines), 2), delimiter=_delimiter(lines[:1])))
    return rows or [[""]]


def _delimiter(lines: list[str]) -> str:
    return max(",;\t", key="".join(lines).count)


def _names_columns(row: list[str]) -> bool:
    """Whether a row names columns: words, or their numbers 0..W-1 (what pandas writes for columns without names)."""
    numbers = [_parse(cell) for cell in row]
    return None in numbers or (len(row) > 1 and numbers == list(range(len(row))))


def _parse(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _side(count: int) -> int:
    """The side of a square of so many values; 0 where there is none."""
    return side if count > 0 and (side := math.isqrt(count)) ** 2 == count else 0


def _find_columns(path: Path, first: list[str]) -> Columns:
    """The columns by their names; without a header (or label's name) their pixels are still to be found."""
    width = len(first)
    if not _names_columns(first) or all(_parse(cell) is not None for cell in first):
        if not _side(width) and not _side(width - 1):
            hint = _colour_hint(width)
            raise UserError(f"{path}: expected rows of a square image and one label, got {width} values{hint}")
        return Columns([] if _side(width - 1) else list(range(width)), None, int(_names_columns(first)))
    labels, pixels = _split_named(first)
    if not labels and len(pixels) == width and _side(width - 1):
        return Columns([], None, 1)
    if len(labels) > 1 or not _side(len(pixels)):
        raise UserError(
            f"{path}:1: expected as many columns of grey values as a square image has, and up to one named label, got "
            f"{len(pixels)} and {len(labels)}{_colour_hint(len(pixels))}"
        )
    return Columns(pixels, labels[0] if labels else None, 1)


def _split_named(head: list[str]) -> tuple[list[int], list[int]]:
    """The columns named label, and the others but for one of row numbers in front."""
    names = [name.strip().lower() for name in head]
    labels = [i for i, name in enumerate(names) if name in LABEL_NAMES]
    return labels, [i for i, name in enumerate(names) if i not in labels and not (i == 0 and name in INDEX_NAMES)]


def _read_values(path: Path, text: bytes, body: int, width: int) -> Array:
    """(N, W) float32: exact for whole numbers up to 2^24."""
    # Line by line: as one text, all would take four times their bytes.
    lines = (line.decode("utf-8-sig", "replace") for line in io.BytesIO(text))
    delimiter = _delimiter([text[: 1 << 16].decode("utf-8-sig", "replace").partition("\n")[0]])
    if not any(line.strip() for line in islice(io.BytesIO(text), body, None)):
        raise UserError(f"{path}: expected a row for each image, got no rows")
    try:
        values = np.loadtxt(
            lines, np.float32, delimiter=delimiter, skiprows=body, ndmin=2, quotechar='"', comments=None
        )
    except ValueError as error:
        raise UserError(_explain(path, text, body, str(error))) from None
    if values.shape[1:] != (width,) and len(values):
        raise UserError(f"{path}: expected rows of {width} values, as the first has, got {values.shape[1]}")
    broken = ~np.isfinite(values) | (values != np.floor(values))
    if broken.any():
        hint = "multiply by 255 and round" if np.abs(values[broken]).max() <= 1 else "round them"
        row = int(broken.any(1).argmax())
        value = values[row][broken[row]][0]
        raise UserError(f"{path}:{row + 1 + body}: expected whole numbers from 0 to 255, got {value:g}: {hint}")
    return values


def _explain(path: Path, text: bytes, body: int, error: str) -> str:
    """What NumPy says of a row, with the line of the file: it counts rows, of values from 0 and of widths from 1."""
    reason = re.sub(r" (at|in) row \d+|\.$", "", error.partition("; use")[0]).replace("''", "an empty cell")
    lines = [number for number, line in enumerate(io.BytesIO(text), start=1) if line.strip()]
    row = re.search(r"row (\d+)", error)
    at = body + int(row[1]) - ("columns changed" in error) if row else 0
    place = f":{lines[at]}" if row and at < len(lines) else ""
    return f"{path}{place}: expected rows of as many whole numbers each, got: {reason}"


def _colour_hint(width: int) -> str:
    square = width // 3 if width % 3 == 0 else (width - 1) // 3
    return "; colour images: save them as .npz, (N, H, W, 3)" if width > WIDE and _side(square) else ""


def _find_label(path: Path, values: Array, declared: LabelColumn | None) -> tuple[int, LabelColumn]:
    """The column whose values are labels', of the first and the last."""
    ends: dict[LabelColumn, int] = {"first": 0, "last": values.shape[1] - 1}
    if declared:
        return ends[declared], declared
    top, last = values[:, 1:-1].max(), ends["last"]
    # The strict test first: only where no column passes it does the lenient one decide
    for test in (_is_label, _may_be_label):
        may = [(at, end) for end, at in ends.items() if test(values[:, at], top)]
        if len(may) == 1:
            return may[0]
        if may:
            break
    raise AmbiguousLabel(
        f"{path}: the label's column is ambiguous: the first holds {_some(values[:, 0])}, the last "
        f"{_some(values[:, last])}; declare `label: first` or `label: last` in the data set's entry (make init ... "
        "LABEL=first)"
    )


def _is_label(column: Array, top: float) -> bool:
    """0..K-1 or 1..K, each several times, and not up to the greatest grey value as a pixel may be."""
    values, counts = np.unique(column, return_counts=True)
    run = len(values) == values[-1] - values[0] + 1 and values[0] in (0, 1)
    return bool(run and 2 <= len(values) <= MOST_CLASSES and counts.min() >= 2 and values[-1] != top)


def _may_be_label(column: Array, top: float) -> bool:
    """A few different values: labels with gaps or single images, where the other end is no such column."""
    values = np.unique(column)
    return bool(2 <= len(values) <= max(2, min(len(column) // 4, MOST_CLASSES)) and values[-1] != top)


def _some(column: Array) -> str:
    values = np.unique(column)
    return ", ".join(f"{v:g}" for v in values[:4]) + (f", ... ({len(values)} values)" if len(values) > 4 else "")
