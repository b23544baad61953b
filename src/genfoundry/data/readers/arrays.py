"""Files that hold many images of one size: IDX here, .npz in `npz`, CSV of grey values in `grey_csv`."""

from __future__ import annotations

import gzip
import math
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genfoundry.errors import UserError

Array = NDArray[Any]
GZIP = b"\x1f\x8b"
IMAGES, LABELS = 2051, 2049  # IDX magic numbers: unsigned bytes in three dimensions, in one
IDX_IMAGES = re.compile(r"(.*)images([-.])idx3-ubyte(\.gz)?", re.IGNORECASE)


@dataclass
class ImageSet:
    """The images of one file or folder.

    Attributes:
        x: (N, C, H, W) uint8.
        label: (N,) int64, -1 for none.
        test: whether they are of a published test split, one bool or (N,) of them.
        source: the file.
        group: images of one group go to one split together: it is hashed then, instead of each image.
        files: (N,) the file of each image, where they differ.
        names: the classes that the labels number, where the file itself has them as words.
        disjoint: (N,) which images share no pixels with each other, where some do: a held-out split takes no others.
    """

    x: Array
    label: Array
    test: bool | Array
    source: str
    group: bytes | None = None
    files: list[str] | None = None
    names: tuple[str, ...] = ()
    disjoint: Array | None = None

    @property
    def sources(self) -> list[str]:
        """(N,) the file of each image."""
        return self.files if self.files is not None else [self.source] * len(self.x)

    @property
    def tests(self) -> Array:
        """(N,) bool: whether each image is of a published test split."""
        return np.broadcast_to(self.test, len(self.x))


def read_bytes(path: Path) -> bytes:
    """A file's bytes, unpacked where they are gzip's, whatever its name: browsers unpack what they fetch.

    Raises:
        UserError: truncated or damaged.
    """
    try:
        packed = path.read_bytes()
        return gzip.decompress(packed) if packed.startswith(GZIP) else packed
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: truncated or damaged ({error}); fetch it again") from None


def read_start(path: Path) -> bytes:
    """The first 4 MiB of a file, unpacked; of a damaged one, `read_bytes` says what is wrong."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == GZIP
        with gzip.open(path) if packed else path.open("rb") as file:
            return bytes(file.read(1 << 22))
    except (OSError, EOFError, zlib.error):
        return read_bytes(path)


def names_test_split(name: str) -> bool:
    """Whether a file or an array is of a published test split, as t10k-images and emnist-letters-test-images are."""
    return bool({"t10k", "test"} & set(re.split(r"[\W_]+", name.lower())))


def read_idx(path: Path, magic: int) -> Array:
    """Read an IDX file of unsigned bytes.

    Raises:
        UserError: wrong magic number, or another number of bytes than its header says.
    """
    raw = read_bytes(path)
    if len(raw) < 16 - 8 * (magic == LABELS) or (number := int.from_bytes(raw[:4], "big")) != magic:
        shown = number if len(raw) >= 8 else "none"
        raise UserError(f"{path}: expected IDX magic number {magic}, got {shown}")
    axes = raw[3]  # the last byte of an IDX magic number counts the dimensions
    shape = tuple(np.frombuffer(raw, ">i4", axes, 4).tolist())
    values = np.frombuffer(raw, np.uint8, offset=4 + 4 * axes)
    if len(values) != math.prod(shape):
        raise UserError(
            f"{path}: expected {math.prod(shape)} bytes of values by its header, {shape}, got {len(values)}; truncated?"
        )
    return values.reshape(shape)


def read_idx_sets(paths: list[Path]) -> Iterator[ImageSet]:
    """The images of IDX files with their labels, whose files may be packed, or in another folder.

    Raises:
        UserError: a file is damaged, or has another number of labels than of images.
    """
    for path in paths:
        if (match := IDX_IMAGES.fullmatch(path.name)) is None:
            continue
        x = read_idx(path, IMAGES)[:, None]  # (N, 1, H, W)
        plain = f"{match[1]}labels{match[2]}idx1-ubyte".lower()
        partners = [p for p in paths if p.name.lower().removesuffix(".gz") == plain]
        partner = next((p for p in partners if p.parent == path.parent), partners[0] if len(partners) == 1 else None)
        label = read_idx(partner, LABELS).astype(np.int64) if partner else np.full(len(x), -1)
        require_equal(path, x, label)
        yield ImageSet(x, label, names_test_split(match[1]), path.name)


def require_equal(path: Path, x: Array, label: Array) -> None:
    """Refuse another number of labels than of images."""
    if len(x) != len(label):
        raise UserError(f"{path}: expected a label for each of {len(x)} images, got {len(label)} labels")
