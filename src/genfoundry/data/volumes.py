"""NIfTI volumes (.nii, .nii.gz) as grey slices in the three anatomical planes, each a square as a radiologist's page.

A volume is turned to its nearest anatomical axes by its own header, so that up is superior (axial: anterior), and its
values are spread over 0 to 255. Slices next to each other are nearly the same image: all of a volume go to one split,
or, where there is one body alone, blocks of slices do, and `gap` slices between two blocks are left out.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genfoundry.data.arrays import Part
from genfoundry.data.base import files
from genfoundry.types import UserError

if TYPE_CHECKING:
    from genfoundry.config import Slices

Array = NDArray[Any]
VOLUMES = (".nii", ".nii.gz")
PLANES = ("axial", "coronal", "sagittal")
AXES = (2, 1, 0)  # of a volume with axes left to right, posterior to anterior, inferior to superior
DAMAGE = (OSError, EOFError, ValueError, zlib.error)
DARK = 25  # a tenth of white
WHITE = 99.9  # percentile of the values that are shown white and above: a few voxels may be far brighter


def parts(folder: Path, slices: Slices) -> Iterator[Part]:
    """A part a plane and block, its label the plane; folders name classes instead where volumes lie in some.

    Raises:
        UserError: a file is damaged, or is not one volume of three axes.
    """
    paths = files(folder, *VOLUMES)
    names = classes(folder)
    for path in paths:
        volume, sides = read(path)
        whole = hashlib.sha256(volume.tobytes()).digest()
        for plane, axis in enumerate(AXES):
            label = names.index(path.parent.name) if path.parent != folder else plane
            along = np.moveaxis(volume, axis, 0)
            for block, number in blocks(volume.shape[axis], slices, PLANES[plane] == "sagittal").items():
                x = [square(along[i], np.delete(sides, axis)) for i in number]
                lit = {image.tobytes(): image for image in x if (image > DARK).mean() >= slices.lit}
                if lit:
                    what = f"{PLANES[plane]} {block}".encode() if slices.by == "block" else whole
                    source = f"{path.relative_to(folder).as_posix()} {PLANES[plane]} {number[0]} to {number[-1]}"
                    group = hashlib.sha256(what).digest()
                    once = np.stack(list(lit.values()))[:, None]  # a symmetric template has each sagittal slice twice
                    yield Part(once, np.full(len(lit), label), False, source, group)


def classes(folder: Path) -> tuple[str, ...]:
    """The names of the folders that volumes lie in, else of the planes; () without volumes."""
    paths = files(folder, *VOLUMES)
    named = tuple(sorted({path.parent.name for path in paths if path.parent != folder}))
    return named or (PLANES if paths else ())


def read(path: Path) -> tuple[Array, Array]:
    """(X, Y, Z) uint8, from left to right, posterior to anterior, inferior to superior; and the voxels' sides (3,)."""
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    try:
        image: Any = nibabel.load(path)
        if len(image.shape) != 3:
            raise UserError(f"{path}: {len(image.shape)} axes, {image.shape}; one volume of three is right")
        turned: Any = nibabel.as_closest_canonical(image)
        values = np.asarray(turned.dataobj, np.float32)
    except (ImageFileError, HeaderDataError, *DAMAGE) as error:
        raise UserError(f"{path}: not readable as a NIfTI volume: {' '.join(str(error).split())}") from None
    if not np.isfinite(values).all():
        raise UserError(f"{path}: a value is missing or infinite; finite numbers are right")
    low = float(values.min())
    span = float(np.percentile(values, WHITE)) - low or float(values.max()) - low
    grey = ((values - low) / (span or 1.0) * 255).round().clip(0, 255).astype(np.uint8)
    return grey, np.asarray(turned.header.get_zooms()[:3], np.float64)


def blocks(length: int, slices: Slices, paired: bool) -> dict[int, list[int]]:
    """Number of a block -> its slices; the last `gap` before the next are left out, unless whole volumes are split.

    Where slices are `paired`, blocks are counted from the middle outwards: the two sides of a body are alike.
    """
    found: dict[int, list[int]] = {}
    for i in range(length):
        number, within = divmod(abs(i - (length - 1) // 2) if paired else i, slices.block)
        if slices.by == "volume" or within < slices.block - slices.gap:
            found.setdefault(number, []).append(i)
    return found


def square(image: Array, sides: Array) -> Array:
    """(H, H) uint8 of voxels (A, B) of these sides: B upwards, A to the right, black around."""
    from PIL import Image

    shown = np.rot90(image)  # (B, A)
    least = sides.min()
    if not np.allclose(sides, least):
        across, up = (max(1, round(n * side / least)) for n, side in zip(image.shape, sides, strict=True))
        shown = np.asarray(Image.fromarray(shown).resize((across, up), Image.Resampling.LANCZOS))
    space = max(shown.shape) - np.array(shown.shape)
    return np.pad(shown, [(int(n) // 2, int(n) - int(n) // 2) for n in space])
