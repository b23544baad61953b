"""Files that hold many images of one size: IDX, .npz (also the MedMNIST layout), CSV of grey values."""

from __future__ import annotations

import csv
import gzip
import io
import math
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genfoundry.data.base import files
from genfoundry.types import UserError

Array = NDArray[Any]
IMAGES, LABELS = 2051, 2049  # IDX magic numbers: unsigned bytes in three dimensions, in one


@dataclass
class Part:
    """Images that came from one file: x (N,C,H,W) uint8, label (N,) int64 (-1: none), whether a published test.

    Images of one `group` go to one split together: it is what is hashed then, instead of each image.
    """

    x: Array
    label: Array
    test: bool
    source: str
    group: bytes | None = None


def content(path: Path) -> bytes:
    """A file's bytes, unpacked where it is gzip.

    Raises:
        UserError: truncated or damaged.
    """
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: truncated or damaged ({error}); fetch it again") from None


def parts(folder: Path, tables: bool = True) -> Iterator[Part]:
    """What the files below a folder hold; without `tables`, its .csv files are left alone.

    Raises:
        UserError: a file is truncated, damaged, or not what its name says.
    """
    yield from _idx(folder)
    for path in files(folder, ".npz"):
        yield from npz(path)
    for path in files(folder, ".csv", ".csv.gz") if tables else ():
        yield table(path)


def idx(path: Path, magic: int) -> Array:
    """An IDX file of unsigned bytes.

    Raises:
        UserError: wrong magic number, or another number of bytes than its header says.
    """
    raw = content(path)
    if len(raw) < 16 - 8 * (magic == LABELS) or (found := int.from_bytes(raw[:4], "big")) != magic:
        shown = found if len(raw) >= 8 else "missing"
        raise UserError(f"{path}: IDX magic number {shown}, but {magic} is right for this file")
    axes = raw[3]
    shape = tuple(np.frombuffer(raw, ">i4", axes, 4).tolist())
    values = np.frombuffer(raw, np.uint8, offset=4 + 4 * axes)
    if len(values) != math.prod(shape):
        raise UserError(f"{path}: {len(values)} bytes of values, but the header says {shape}; truncated?")
    return values.reshape(shape)


def _idx(folder: Path) -> Iterator[Part]:
    for path in files(folder, "-images-idx3-ubyte.gz", "-images-idx3-ubyte"):
        partner = path.with_name(path.name.replace("-images-idx3", "-labels-idx1"))
        x = idx(path, IMAGES)[:, None]
        label = idx(partner, LABELS).astype(np.int64) if partner.exists() else np.full(len(x), -1)
        _equal(path, x, label)
        yield Part(x, label, path.name.startswith(("t10k", "test")), path.name)


def npz(path: Path) -> Iterator[Part]:
    """`images` and `labels`, or the MedMNIST layout: `train_images`, `train_labels`, `val_...`, `test_...`.

    `test_images` are kept as the published test split.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        why = "it holds something else than plain arrays" if isinstance(error, ValueError) else error
        raise UserError(f"{path}: not readable as .npz: {why}") from None
    stems = sorted(name.removesuffix("images") for name in arrays if name.endswith("images"))
    if not stems:
        raise UserError(f"{path}: no array 'images'; it has {', '.join(sorted(arrays)) or 'none'}")
    for stem in stems:
        x = arrays[f"{stem}images"]
        if x.dtype != np.uint8 or x.ndim not in (3, 4):
            raise UserError(f"{path}: {stem}images is {x.dtype} {x.shape}; uint8 (N,H,W) or (N,H,W,C) is right")
        x = x[:, None] if x.ndim == 3 else np.moveaxis(x, -1, 1)
        label = arrays.get(f"{stem}labels", np.full(len(x), -1))
        if label.ndim != 1 and label.shape != (len(x), 1):
            raise UserError(f"{path}: {stem}labels has shape {label.shape}; a class an image, (N,) or (N, 1), is right")
        label = label.reshape(-1)
        if label.dtype.kind not in "iu":
            raise UserError(f"{path}: {stem}labels is {label.dtype}; whole numbers are right")
        _equal(path, x, label)
        yield Part(x, label.astype(np.int64), stem == "test_", path.name)


def table(path: Path) -> Part:
    """Rows of grey values of square images, the label last."""
    try:
        rows = [[int(float(cell)) for cell in row] for row in csv.reader(io.StringIO(content(path).decode())) if row]
    except (ValueError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {error}; rows of whole numbers, the label last, are right") from None
    widths = {len(row) for row in rows}
    side = math.isqrt(max(widths, default=1) - 1)
    if len(widths) != 1 or not side or side * side != max(widths) - 1:
        raise UserError(f"{path}: rows of {sorted(widths)} values; the square of a side and one label are right")
    values = np.array(rows)
    grey = values[:, :-1]
    if grey.min() < 0 or grey.max() > 255:
        raise UserError(f"{path}: grey values {grey.min()} to {grey.max()}; 0 to 255 are right")
    return Part(grey.astype(np.uint8).reshape(-1, 1, side, side), values[:, -1], False, path.name)


def _equal(path: Path, x: Array, label: Array) -> None:
    if len(x) != len(label):
        raise UserError(f"{path}: {len(x)} images, but {len(label)} labels")
