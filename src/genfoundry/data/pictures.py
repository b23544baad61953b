"""PNG and JPEG files of any size and kind -> (C, H, W) uint8, and arrays of images brought to the same form.

A declared `size` resizes the shorter side (Lanczos, which averages when it shrinks) and cuts out the centre; a declared
`colour` converts. What is transparent stands on white; a camera's orientation is obeyed.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genfoundry.config import Patch, Slices
from genfoundry.data.progress import told
from genfoundry.types import UserError

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

Array = NDArray[Any]
SUFFIXES = (".png", ".jpg", ".jpeg")
MODES = {"grey": "L", "rgb": "RGB"}
WHOLE = Slices()


@dataclass(frozen=True)
class Form:
    """What images are brought to: (H, W), "grey" or "rgb", patches, slices of volumes; None leaves them as they are."""

    size: tuple[int, int] | None = None
    colour: str | None = None
    patch: Patch | None = None
    slices: Slices = WHOLE


PLAIN = Form()


def read(paths: list[Path], form: Form) -> Iterator[Array]:
    """(C, H, W) of each file, in order.

    Raises:
        UserError: a file is damaged, or not of 8 bits.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding and resizing run outside Python's lock
        yield from told(pool.map(lambda path: picture(path, form), paths), len(paths), "reading images")


def picture(path: Path, form: Form = PLAIN) -> Array:
    """A PNG or JPEG as (C, H, W) uint8; without a declared colour one channel where the file is grey, else three.

    Raises:
        UserError: the file is damaged, or not of 8 bits.
    """
    from PIL import Image

    try:
        with Image.open(path) as file:
            return _values(_formed(_upright(file), form))
    except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: not readable as an image: {error}") from None


def kind(path: Path) -> tuple[tuple[int, int], str, str]:
    """(H, W) as a viewer shows it, "grey" or "rgb", and the mode in the file; only its header is read.

    Raises:
        UserError: no image, or not one of 8 bits.
    """
    from PIL import Image

    try:
        with Image.open(path) as file:
            turned = file.getexif().get(0x0112, 1) >= 5  # orientations 5 to 8 swap width and height
            size = (file.width, file.height) if turned else (file.height, file.width)
            return size, "grey" if _grey(file) else "rgb", file.mode
    except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: not readable as an image: {error}") from None


def formed(x: Array, form: Form, source: str) -> Array:
    """Images (N, C, H, W) uint8 of an array file, brought to the form.

    Raises:
        UserError: they have neither one channel nor three.
    """
    from PIL import Image

    same = form.size in (None, x.shape[2:])
    channels = {"grey": 1, "rgb": 3, None: x.shape[1]}[form.colour]
    if same and channels == x.shape[1]:
        return x
    if x.shape[1] not in (1, 3):
        raise UserError(f"{source}: images of {x.shape[1]} channels; size and colour are for 1 (grey) or 3 (rgb)")
    if not len(x):
        return np.zeros((0, channels, *(form.size or x.shape[2:])), np.uint8)
    images = (Image.fromarray(image[0] if len(image) == 1 else np.moveaxis(image, 0, -1)) for image in x)
    return np.stack([_values(_formed(image, form)) for image in told(images, len(x), f"resizing {source}")])


def _grey(image: Picture) -> bool:
    """Whether the image is of one channel. Deeper than 8 bits is refused: which range matters is the user's to say."""
    if image.mode.startswith(("I", "F")):
        raise ValueError(f"it has 16 or more bits a value (mode {image.mode}); convert it to 8 bits, 0 to 255")
    return image.mode in ("1", "L", "LA", "La")


def _upright(file: Picture) -> Picture:
    from PIL import Image, ImageOps

    grey = _grey(file)
    image = ImageOps.exif_transpose(file)
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image.convert("RGBA"))
        image = white
    return image.convert("L" if grey else "RGB")


def _formed(image: Picture, form: Form) -> Picture:
    from PIL import Image, ImageOps

    if form.colour:
        image = image.convert(MODES[form.colour])
    if form.size:
        image = ImageOps.fit(image, form.size[::-1], Image.Resampling.LANCZOS)
    return image


def _values(image: Picture) -> Array:
    values = np.asarray(image)
    return values[None] if values.ndim == 2 else np.moveaxis(values, -1, 0)
