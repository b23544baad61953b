"""Picture files of any size and kind -> (C, H, W) uint8, and arrays of images brought to the same form.

A declared `size` resizes the shorter side (Lanczos, which averages when it shrinks) and cuts out the centre; a declared
`colour` converts. What is transparent stands on white; a camera's orientation is obeyed; of an animation the first
frame is taken.
"""

from __future__ import annotations

import struct
import warnings
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genfoundry.config import ClassRule, LabelColumn, Patch, Slices
from genfoundry.console.progress import track
from genfoundry.data import cgroup
from genfoundry.data.readers import image_headers
from genfoundry.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

Array = NDArray[Any]
SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".tif", ".tiff", ".bmp", ".gif")
MODES = {"grey": "L", "rgb": "RGB"}
DEFAULT_SLICES = Slices()
GREY = ("1", "L", "LA", "La")  # Pillow's modes of one channel
DAMAGE = (OSError, SyntaxError, ValueError, EOFError, KeyError, IndexError, struct.error)  # Pillow's of bad files
ORIENTATION = 0x0112  # EXIF
CHUNK_FILES, CHUNK_BYTES = 64, 1 << 18  # that a thread decodes at a time


@dataclass(frozen=True)
class Form:
    """How images are read and what they are brought to; None leaves them as they are, or as the files themselves tell.

    `size` is (H, W), `colour` "grey" or "rgb", `classes` the folder that names the class, `label` a CSV's column of it,
    `metadata` the kind of file that names classes and groups instead.
    """

    size: tuple[int, int] | None = None
    colour: str | None = None
    patch: Patch | None = None
    slices: Slices = DEFAULT_SLICES
    classes: ClassRule | None = None
    label: LabelColumn | None = None
    metadata: str | None = None


PLAIN = Form()


class Faults:
    """Files that cannot be read: the first one's message, and how many there are."""

    def __init__(self) -> None:
        self.first, self.count = "", 0

    def add(self, error: UserError) -> None:
        """Count a file."""
        self.first, self.count = self.first or str(error), self.count + 1

    def check(self, total: int) -> None:
        """Refuse them all in one line.

        Raises:
            UserError: there is one.
        """
        if self.count:
            raise UserError(self.first + (f"; {self.count} of {total} files have faults" if self.count > 1 else ""))


def read_pictures(paths: list[Path], form: Form) -> Iterator[Array]:
    """Decode picture files by several threads, (C, H, W) uint8 each, in order.

    Raises:
        UserError: files are damaged, or not of 8 bits: the first one, and how many, once all have been tried.
    """
    faults = Faults()
    for result in track(_decode_ahead(paths, form), len(paths), "reading images"):
        if isinstance(result, UserError):
            faults.add(result)
        elif not faults.count:
            yield result
    faults.check(len(paths))


def _decode_ahead(paths: list[Path], form: Form) -> Iterator[Array | UserError]:
    """Each file's values or fault, a few chunks of files ahead, so that little waits in memory."""
    threads = cgroup.cpus()
    with ThreadPoolExecutor(threads) as pool:  # Pillow decodes and resizes outside Python's lock
        ahead: deque[Future[list[Array | UserError]]] = deque()
        for chunk in _chunks(paths):
            ahead.append(pool.submit(lambda files: [_try_picture(path, form) for path in files], chunk))
            if len(ahead) > 2 * threads:
                yield from ahead.popleft().result()
        while ahead:
            yield from ahead.popleft().result()


def _chunks(paths: list[Path]) -> Iterator[list[Path]]:
    chunk, size = [], 0
    for path in paths:
        chunk.append(path)
        size += path.stat().st_size
        if len(chunk) == CHUNK_FILES or size > CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    yield chunk


def _try_picture(path: Path, form: Form) -> Array | UserError:
    try:
        return read_picture(path, form)
    except UserError as error:
        return error


def read_picture(path: Path, form: Form = PLAIN) -> Array:
    """A file as (C, H, W) uint8; without a declared colour one channel where the file is grey, else three.

    Raises:
        UserError: the file is damaged, or not of 8 bits.
    """
    with _open(path) as file:
        return _to_array(_to_form(_upright(file), form))


def read_header(path: Path) -> tuple[tuple[int, int], str, bool]:
    """(H, W) as a viewer shows it, "grey" or "rgb", and whether it is an animation; only the file's header is read.

    Raises:
        UserError: no image, or not one of 8 bits.
    """
    if (png := image_headers.read_png_header(path)) is not None:
        return png
    with _open(path) as file:  # whose size, of a TIFF, is that of the turned picture already
        turned = file.format != "TIFF" and file.getexif().get(ORIENTATION, 1) in range(5, 9)
        size = (file.width, file.height) if turned else (file.height, file.width)
        moving = file.format != "MPO" and bool(getattr(file, "is_animated", False))
        return size, "grey" if file.mode in GREY else "rgb", moving


@contextmanager
def _open(path: Path) -> Iterator[Picture]:
    """The open file, refused where it is deeper than 8 bits or has pages; every fault is one line."""
    Image = _pillow()
    try:
        with Image.open(path) as file:
            image_headers.require_8_bits(file)
            yield file
    except Image.DecompressionBombError:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise UserError(f"{path}: not readable as an image: over {most:,} pixels; shrink or cut it") from None
    except Image.UnidentifiedImageError:
        raise UserError(f"{path}: not readable as an image: {image_headers.identify(path)}") from None
    except DAMAGE as error:
        raise UserError(f"{path}: not readable as an image: {' '.join(str(error).split())}") from None


@cache
def _pillow() -> Any:
    """PIL.Image, silent about pictures that are large and yet read."""
    from PIL import Image

    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
    return Image


def convert_images(x: Array, form: Form, source: str) -> Array:
    """Bring the images (N, C, H, W) uint8 of an array file to the form.

    Raises:
        UserError: they have neither one channel nor three.
    """
    same = form.size in (None, x.shape[2:])
    channels = {"grey": 1, "rgb": 3, None: x.shape[1]}[form.colour]
    if same and channels == x.shape[1]:
        return x
    if x.shape[1] not in (1, 3):
        raise UserError(f"{source}: expected 1 (grey) or 3 (rgb) channels for size and colour, got {x.shape[1]}")
    if not len(x):
        return np.zeros((0, channels, *(form.size or x.shape[2:])), np.uint8)
    images = (_pillow().fromarray(image[0] if len(image) == 1 else np.moveaxis(image, 0, -1)) for image in x)
    shown = track(images, len(x), f"resizing {source}")
    return np.stack([_to_array(_to_form(image, form)) for image in shown])


def put_on_white(x: Array) -> Array:
    """(3, H, W) of an image (4, H, W) with alpha."""
    return _to_array(_on_white(_pillow().fromarray(np.ascontiguousarray(np.moveaxis(x, 0, -1)))).convert("RGB"))


def _on_white(image: Picture) -> Picture:
    white: Picture = _pillow().new("RGBA", image.size, "white")
    white.alpha_composite(image.convert("RGBA"))
    return white


def _upright(file: Picture) -> Picture:
    from PIL import ImageOps

    grey = file.mode in GREY
    file.load()  # a PNG's EXIF may stand behind its pixels; a TIFF is turned by this
    turned = file.format != "TIFF" and file.getexif().get(ORIENTATION, 1) in range(2, 9)
    image = ImageOps.exif_transpose(file) if turned else file
    if image.has_transparency_data:
        image = _on_white(image)
    return _to_mode(image, "L" if grey else "RGB")


def _to_mode(image: Picture, mode: str) -> Picture:
    return image if image.mode == mode else image.convert(mode)


def _to_form(image: Picture, form: Form) -> Picture:
    from PIL import Image, ImageOps

    if form.colour:
        image = _to_mode(image, MODES[form.colour])
    if form.size and image.size != form.size[::-1]:
        image = ImageOps.fit(image, form.size[::-1], Image.Resampling.LANCZOS)
    return image


def _to_array(image: Picture) -> Array:
    values = np.asarray(image)
    return values[None] if values.ndim == 2 else np.moveaxis(values, -1, 0)  # (C, H, W)
