"""Lossless compressors as baselines: lengths of data under PNG, WebP and xz, in bits, headers included."""

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


def image_bits(images: NDArray[Any], name: str, levels: int) -> Floats:
    """Bits of each image as a file of its own.

    Args:
        images: (N, C, H, W) with one or three channels and values 0..levels-1.
        name: the format, one of `FORMATS`.
        levels: at most 256; images of two levels are stored with one bit a pixel.

    Returns:
        (N,) bits.
    """

    def file_bits(image: NDArray[np.uint8]) -> int:
        pixels = image.transpose(1, 2, 0)  # (H, W, C)
        pixels = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
        file = io.BytesIO()
        Image.fromarray(pixels > 0 if levels == 2 and pixels.ndim == 2 else pixels).save(file, name, **FORMATS[name])
        return 8 * file.tell()

    with ThreadPoolExecutor() as pool:  # Pillow's encoders release the interpreter's lock
        parts = pool.map(lambda part: [file_bits(image) for image in part], np.array_split(images.astype(np.uint8), 64))
        return np.array([bits for part in parts for bits in part], np.float64)


def xz_bits(values: NDArray[Any], levels: int) -> Floats:
    """(1,) bits an item of all items (N, dims) in one xz file, packed into bits or bytes where they fit."""
    packed = (
        np.packbits(values.astype(bool)) if levels == 2 else values.astype(np.uint8 if levels <= 256 else np.uint16)
    )
    return _xz(packed.tobytes(), len(values))


def xz_text_bits(codes: NDArray[np.integer], alphabet: str, items: int) -> Floats:
    """(1,) bits an item of a text (L,) of `items` items in one xz file, as UTF-8."""
    return _xz("".join(alphabet[i] for i in codes.tolist()).encode(), items)


def _xz(content: bytes, items: int) -> Floats:
    return np.array([8 * len(lzma.compress(content)) / items])  # one value: no item has a length of its own
