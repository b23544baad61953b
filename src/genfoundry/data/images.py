"""Images: IDX, .npz, CSV of grey values, folders of PNG or JPEG -> (N, C, H, W) uint8 and labels."""

from __future__ import annotations

import csv
import gzip
import hashlib
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

from genfoundry import config
from genfoundry.data.base import SPLITS, Prepared, assign, files, only
from genfoundry.data.pixels import ImageSplit as Split
from genfoundry.data.pixels import describe
from genfoundry.data.sources import names as names_of
from genfoundry.types import Spec, UserError

Array = NDArray[Any]
IMAGES, LABELS = 2051, 2049  # IDX magic numbers: unsigned bytes in three dimensions, in one


@dataclass
class Part:
    """Images that came from one file: x (N,C,H,W) uint8, label (N,) int64 (-1: none), whether a published test."""

    x: Array
    label: Array
    test: bool
    source: str


def prepare(raw: Path, inbox: Path, dataset: config.Dataset, seed: int) -> Prepared:
    """Read everything, hash every image into its split, describe it."""
    old, names = read(raw)
    only(inbox, ".npz", ".csv", ".csv.gz", "-ubyte", "-ubyte.gz", ".png", ".jpg", ".jpeg")
    new, new_names = read(inbox)
    if not old:
        raise UserError(f"{raw}: no images; IDX, .npz, .csv, or folders of .png and .jpg are read")
    names = names or names_of(dataset)
    if unknown := sorted(set(new_names) - set(names)) if names else []:
        raise UserError(f"{inbox}: class {unknown[0]!r} is new; known are {', '.join(names)}")
    _rename(new, new_names, names)
    classes = dataset.expect.labels or max(int(p.label.max()) for p in old) + 1
    for part in old + new:
        _fits(part, old[0], classes, dataset.levels)
    return _split(old + new, len(old), dataset, seed, classes, names)


def _rename(parts: list[Part], theirs: tuple[str, ...], ours: tuple[str, ...]) -> None:
    """An inbox may hold some of the classes only: its folders' numbers become those of the data set."""
    table = np.array([ours.index(name) for name in theirs] if ours else range(len(theirs)))
    for part in parts:
        if len(table) and part.label.min() >= 0 and part.source.endswith((".png", ".jpg", ".jpeg")):
            part.label = table[part.label]


def read(folder: Path) -> tuple[list[Part], tuple[str, ...]]:
    """Every image below a folder, and the class names where folders name them.

    Raises:
        UserError: a file is truncated, damaged, or not what its name says.
    """
    parts = [*_idx(folder)]
    parts += [part for path in files(folder, ".npz") for part in _npz(path)]
    parts += [_table(path) for path in files(folder, ".csv", ".csv.gz")]
    pictures, names = _pictures(folder)
    return parts + pictures, names


def content(path: Path) -> bytes:
    """A file's bytes, unpacked where it is gzip.

    Raises:
        UserError: truncated or damaged.
    """
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: truncated or damaged ({error}); fetch it again") from None


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


def _npz(path: Path) -> Iterator[Part]:
    """`images` and `labels`, or the MedMNIST layout: `train_images`, `train_labels`, `val_...`, `test_...`."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path}: not readable as .npz: {error}") from None
    stems = sorted(name.removesuffix("images") for name in arrays if name.endswith("images"))
    if not stems:
        raise UserError(f"{path}: no array 'images'; it has {', '.join(sorted(arrays)) or 'none'}")
    for stem in stems:
        x = arrays[f"{stem}images"]
        if x.dtype != np.uint8 or x.ndim not in (3, 4):
            raise UserError(f"{path}: {stem}images is {x.dtype} {x.shape}; uint8 (N,H,W) or (N,H,W,C) is right")
        x = x[:, None] if x.ndim == 3 else np.moveaxis(x, -1, 1)
        label = arrays.get(f"{stem}labels", np.full(len(x), -1)).reshape(-1)
        if label.dtype.kind not in "iu":
            raise UserError(f"{path}: {stem}labels is {label.dtype}; whole numbers are right")
        _equal(path, x, label)
        yield Part(x, label.astype(np.int64), stem == "test_", path.name)


def _table(path: Path) -> Part:
    """Rows of grey values of square images, the label last."""
    try:
        rows = [[int(float(cell)) for cell in row] for row in csv.reader(io.StringIO(content(path).decode())) if row]
    except (ValueError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {error}; rows of whole numbers, the label last, are right") from None
    widths = {len(row) for row in rows}
    side = math.isqrt(max(widths, default=1) - 1)
    if len(widths) != 1 or not side or side * side != max(widths) - 1:
        raise UserError(f"{path}: rows of {sorted(widths)} values; the square of a side and one label are right")
    table = np.array(rows)
    if table[:, :-1].min() < 0 or table[:, :-1].max() > 255:
        raise UserError(f"{path}: grey values {table[:, :-1].min()} to {table[:, :-1].max()}; 0 to 255 are right")
    return Part(table[:, :-1].astype(np.uint8).reshape(-1, 1, side, side), table[:, -1], False, path.name)


def _pictures(folder: Path) -> tuple[list[Part], tuple[str, ...]]:
    """PNG and JPEG files; the class is the name of the folder that a file is in, none directly below `folder`."""
    paths = files(folder, ".png", ".jpg", ".jpeg")
    names = sorted({p.parent.name for p in paths if p.parent != folder})
    parts = []
    for path in paths:
        label = names.index(path.parent.name) if path.parent != folder else -1
        parts.append(Part(picture(path)[None], np.array([label]), False, path.relative_to(folder).as_posix()))
    return parts, tuple(names)


def picture(path: Path) -> Array:
    """A PNG or JPEG as (C, H, W) uint8: one channel where it is grey, else three."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            values = np.asarray(image.convert("L" if image.mode in ("1", "L", "LA", "I;16") else "RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path}: not readable as an image: {error}") from None
    return values[None] if values.ndim == 2 else np.moveaxis(values, -1, 0)


def _equal(path: Path, x: Array, label: Array) -> None:
    if len(x) != len(label):
        raise UserError(f"{path}: {len(x)} images, but {len(label)} labels")


def _fits(part: Part, first: Part, classes: int, levels: int) -> None:
    if part.x.shape[1:] != first.x.shape[1:]:
        raise UserError(
            f"{part.source}: images of {part.x.shape[1:]} (C,H,W), but {first.source} has {first.x.shape[1:]}; "
            "all images of a data set have one size"
        )
    wrong = part.label[(part.label < -1) | (part.label >= classes)]
    if len(wrong):
        raise UserError(f"{part.source}: label {int(wrong[0])} is outside the classes 0 to {classes - 1}")
    if part.x.max(initial=0) >= levels:
        raise UserError(f"{part.source}: grey value {part.x.max()}, but the data set declares levels: {levels}")


def _split(
    parts: list[Part], old: int, dataset: config.Dataset, seed: int, classes: int, names: tuple[str, ...]
) -> Prepared:
    published = any(part.test for part in parts[:old])
    seen: set[bytes] = set()
    keep, splits, digests, sources = [], [], [], []
    start = 0
    for number, part in enumerate(parts):
        for i, image in enumerate(part.x):
            digest = hashlib.sha256(image.tobytes()).digest()
            if number >= old and digest in seen:
                continue  # an inbox may bring again what is there; it does not count twice
            seen.add(digest)
            keep.append(start + i)
            sources.append(part.source)
            digests.append(digest[:8].hex())
            splits.append("test" if part.test and number < old else assign(seed, digest, dataset, published))
        start += len(part.x)
    x = np.concatenate([p.x for p in parts])[keep]
    label = np.concatenate([p.label for p in parts])[keep]
    where = np.array(splits)
    arrays = {s: {"x": x[where == s], "label": label[where == s].astype(np.int16)} for s in SPLITS}
    counts = tuple(np.bincount(label[(where == "train") & (label >= 0)], minlength=classes).tolist())
    spec = Spec(tuple(x.shape[1:]), dataset.levels, classes, counts if classes else ())
    table = describe(x, label, where, np.array(digests), np.array(sources))
    return Prepared(arrays, spec, names, {s: int((where == s).sum()) for s in SPLITS}, table)


__all__ = ["Split", "prepare"]
