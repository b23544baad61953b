"""Lengths of data under general compressors, in bits, headers and all."""

from __future__ import annotations

import io
import lzma
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float64]
FORMATS: Mapping[str, Mapping[str, Any]] = {"png": {"optimize": True}, "webp": {"lossless": True, "quality": 50}}


def each(images: NDArray[Any], name: str, levels: int) -> Floats:
    """(N,) bits of a file an image; images (N, C, H, W) of one or three channels, values 0..levels-1, at most 255."""

    def lengths(part: NDArray[np.uint8]) -> list[int]:
        return [_length(image, name, levels) for image in part]

    with ThreadPoolExecutor() as pool:  # Pillow's encoders run without the interpreter's lock
        parts = list(pool.map(lengths, np.array_split(images.astype(np.uint8), 64)))
    return np.array([bits for part in parts for bits in part], np.float64)


def _length(image: NDArray[np.uint8], name: str, levels: int) -> int:
    """Two levels go as one bit a pixel."""
    pixels = image.transpose(1, 2, 0)
    pixels = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    file = io.BytesIO()
    Image.fromarray(pixels > 0 if levels == 2 and pixels.ndim == 2 else pixels).save(file, name, **FORMATS[name])
    return 8 * file.tell()


def whole(values: NDArray[Any], levels: int) -> Floats:
    """(1,) bits an item of all items (N, dims) under xz, packed into bits or bytes where they fit."""
    raw = np.packbits(values.astype(bool)) if levels == 2 else values.astype(np.uint8 if levels <= 256 else np.uint16)
    return squeezed(raw.tobytes(), len(values))


def squeezed(raw: bytes, items: float) -> Floats:
    """(1,) bits an item under xz: one figure, since no item has a length of its own."""
    return np.array([8 * len(lzma.compress(raw)) / items])
