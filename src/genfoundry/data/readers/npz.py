"""Images in .npz: `images` and `labels`, MedMNIST's `train_images`, ..., Keras' `x_train`, `y_train`, ..."""

from __future__ import annotations

import math
import re
import zipfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np

from genfoundry.data.readers.arrays import Array, ImageSet, names_test_split, require_equal
from genfoundry.data.readers.images import put_on_white
from genfoundry.errors import UserError

# An array of images -> those that may hold its labels. (\1 is what stands before or after: train_, _train, ...)
PARTNERS = (
    (re.compile(r"(?i)(.*)images"), ("{0}labels", "{0}label")),
    (re.compile(r"(?i)images?()"), ("labels", "label", "y", "targets", "target")),
    (re.compile(r"(?i)x(|_.*)"), ("y{0}", "Y{0}", "labels{0}")),
)
CHANNELS = (1, 3, 4)
SHAPES = "(N, H, W), (N, H, W, 1), (N, H, W, 3) or, channel first, (N, 3, H, W) of uint8"


def read_npz(path: Path) -> Iterator[ImageSet]:
    """Read a part for each array of images; what is named a test's is kept as the published test split.

    Raises:
        UserError: not readable, or an array is of another kind; says which, what is expected and what it is.
    """
    arrays = _load_arrays(path)
    pairs = {name: _labels_of(name, arrays) for name in sorted(arrays) if _stem(name) is not None}
    if not pairs:
        has = ", ".join(f"{name} {a.dtype} {a.shape}" for name, a in sorted(arrays.items())) or "none"
        raise UserError(f"{path}: expected an array 'images' (or x_train, ...), got {has}")
    for name, partner in pairs.items():
        where = f"{path}: {name}"
        x = _to_images(arrays[name], where)
        label, names = np.full(len(x), -1), tuple[str, ...]()
        if partner is not None:
            label, names = _to_labels(arrays[partner], len(x), f"{path}: {partner}")
        require_equal(path, x, label)
        # With an axis of channels, its length tells the order of the axes (`_channel_axis`)
        if arrays[name].ndim == 3:
            _require_images_first(x, label, where)
        yield ImageSet(x, label, names_test_split(name), path.name, names=names)


def unused_arrays(path: Path) -> list[str]:
    """The arrays of a file that are neither images nor their labels."""
    with np.load(path) as file:  # the names alone
        names = set(file.files)
    images = {name for name in names if _stem(name) is not None}
    return sorted(names - images - {_labels_of(name, names) for name in images})


def _load_arrays(path: Path) -> dict[str, Array]:
    name = ""
    try:
        file = np.load(path, allow_pickle=False)
        if isinstance(file, np.ndarray):
            raise UserError(
                f"{path}: expected named arrays, got one without a name; np.savez(path, images=array) names it"
            )
        arrays = {}
        # The file unpacks an array whenever it is asked for, and fails only then
        with file:
            for name in file.files:
                arrays[name] = file[name]
        return arrays
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        if "allow_pickle" in str(error) and name:
            expected, hint = SHAPES, " (images of several sizes?)"
            if _stem(name) is None:
                expected, hint = "words or whole numbers", f": np.asarray({name}.tolist())"
            raise UserError(f"{path}: {name}: expected {expected}, got an array of Python objects{hint}") from None
        why = "it holds something else than plain arrays" if isinstance(error, ValueError) else error
        raise UserError(f"{path}: not readable as .npz: {why}") from None


def _stem(name: str) -> str | None:
    """The text before or after the word for images; None for an array of something else."""
    return next((match[1] for pattern, _ in PARTNERS if (match := pattern.fullmatch(name))), None)


def _labels_of(name: str, arrays: Collection[str]) -> str | None:
    for pattern, partners in PARTNERS:
        if match := pattern.fullmatch(name):
            for partner in partners:
                if partner.format(match[1]) in arrays:
                    return partner.format(match[1])
    return None


def _to_images(x: Array, where: str) -> Array:
    """(N, C, H, W) uint8, C 1 or 3."""
    got = f"got {x.dtype} {x.shape}"
    if x.ndim not in (3, 4):
        raise UserError(f"{where}: expected {SHAPES}, {got}{_shape_hint(x)}")
    if x.dtype.kind == "f":
        raise UserError(f"{where}: expected whole numbers from 0 to 255, {got}, {_float_hint(x)}")
    if x.dtype.kind not in "biu":
        raise UserError(f"{where}: expected {SHAPES}, {got}")
    # Checked before the cast, which would wrap 256 to 0
    if x.size and (x.min() < 0 or x.max() > 255):
        raise UserError(
            f"{where}: expected values from 0 to 255, {got}, values {x.min()} to {x.max()}: convert it to 8 bits"
        )
    x = x.astype(np.uint8, copy=False)
    if x.ndim == 3:
        return x[:, None]
    x = np.moveaxis(x, _channel_axis(x.shape, where), 1)
    if x.shape[1] == 4:
        x = np.stack([put_on_white(image) for image in x]) if len(x) else x[:, :3]
    return x


def _float_hint(x: Array) -> str:
    if not np.isfinite(x).all():
        return "with values that are no numbers (NaN) or infinite"
    low, high = (float(x.min()), float(x.max())) if x.size else (0.0, 0.0)
    scaled = "255 * x" if low >= 0 and high <= 1 else "127.5 * (x + 1)" if low >= -1 and high <= 1 else "x"
    if scaled == "x" and (low < 0 or high > 255):
        scaled = "255 * (x - x.min()) / (x.max() - x.min())"
    return f"values {low:g} to {high:g}: ({scaled}).round().astype('uint8')"


def _shape_hint(x: Array) -> str:
    """What makes images of one image, or of rows of values."""
    for channels in (1, 3) if x.ndim == 2 and x.shape[0] != x.shape[1] >= 16 else ():
        if channels * (side := math.isqrt(x.shape[1] // channels)) ** 2 == x.shape[1]:
            return f": x.reshape(-1, {side}, {side})" if channels == 1 else f": x.reshape(-1, 3, {side}, {side})?"
    return ": x[None] is one image of these" if x.ndim == 2 else ""


def _require_images_first(x: Array, label: Array, where: str) -> None:
    """Refuse (H, H, N), as MATLAB writes images; labels, one an image, tell that N comes first.

    Raises:
        UserError: says what turns it, and what to save where images do come first.
    """
    first, middle, last = x.shape[0], *x.shape[2:]
    if x.shape[1] == 1 and first == middle != last and (label < 0).all():
        raise UserError(
            f"{where}: expected images first, got {x[:, 0].shape}: images last, or {first} of {middle} x {last}? "
            "np.moveaxis(x, -1, 0) puts images first; save x[..., None] if they are first"
        )


def _channel_axis(shape: tuple[int, ...], where: str) -> int:
    """3 or 1: the axis of channels, by its length; where both would do, the one that leaves square images."""
    _, first, middle, last = shape
    may = [axis for axis, n in ((3, last), (1, first)) if n in CHANNELS]
    if len(may) == 2:
        square = {3: first == middle, 1: middle == last}
        may = [axis for axis in may if square[axis]]
        if len(may) != 1:
            raise UserError(
                f"{where}: expected channels first or last, got {shape}, which fits both; save grey images as (N, H, W)"
            )
    if not may and first == middle == last:
        raise UserError(f"{where}: expected {SHAPES}, got {shape}: volumes? save their slices")
    if not may:
        raise UserError(f"{where}: expected 1 (grey), 3 (rgb) or 4 (with alpha) channels, got {min(first, last)}")
    return may[0]


def _to_labels(label: Array, count: int, where: str) -> tuple[Array, tuple[str, ...]]:
    """(N,) int64, and the names of the classes where they are words."""
    if label.ndim == 2 and label.shape[1] > 1 and len(label) == count and _one_hot(label):
        return label.argmax(1).astype(np.int64), ()
    if label.ndim != 1 and label.shape != (count, 1):
        raise UserError(f"{where}: expected a class an image, (N,) or (N, 1), got shape {label.shape}")
    label = label.reshape(-1)
    if label.dtype.kind in "US":
        words = np.char.decode(label, "utf-8") if label.dtype.kind == "S" else label
        names, numbers = np.unique(words, return_inverse=True)
        return numbers.astype(np.int64), tuple(names.tolist())
    # Labels that passed through pandas or MATLAB are whole numbers in floats
    if label.dtype.kind == "f" and np.isfinite(label).all() and (label == np.floor(label)).all():
        label = label.astype(np.int64)
    if label.dtype.kind not in "biu":
        raise UserError(f"{where}: expected whole numbers or words, got {label.dtype}")
    return label.astype(np.int64), ()


def _one_hot(label: Array) -> bool:
    return label.dtype.kind in "biuf" and bool(np.isin(label, (0, 1)).all() and (label.sum(1) == 1).all())
