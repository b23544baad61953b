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
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from genfoundry.data.readers.arrays import ImageSet
from genfoundry.data.readers.listing import list_files
from genfoundry.errors import UserError

if TYPE_CHECKING:
    from genfoundry.config import Slices

Array = NDArray[Any]
VOLUMES = (".nii", ".nii.gz")
PLANES = ("axial", "coronal", "sagittal")
AXES = (2, 1, 0)  # of a volume with axes left to right, posterior to anterior, inferior to superior
DAMAGE = (OSError, EOFError, ValueError, OverflowError, MemoryError, zlib.error)
THIN = 100  # times the shortest side of a voxel that the longest may be
DARK = 25  # a tenth of white
WHITE = 99.9  # percentile of the values that are shown white and above: a few voxels may be far brighter


def read_slices(
    folder: Path, slices: Slices, label: Array | None = None, test: Array | None = None
) -> Iterator[ImageSet]:
    """Read a part for each plane and block of each volume, labelled by its plane.

    Args:
        folder: where the volumes are.
        slices: how they are cut.
        label: (N,) the class of each volume, in the order of their paths, instead of the plane.
        test: (N,) whether each is of a published test split.

    Raises:
        UserError: a file is damaged, or is not one volume of three axes.
    """
    for position, path in enumerate(list_files(folder, *VOLUMES)):
        volume, sides = read_volume(path, slices.missing)
        bright, content = False, hashlib.sha256(volume.tobytes()).digest()
        of_test = test is not None and bool(test[position])
        for plane, axis in enumerate(AXES):
            number = plane if label is None else int(label[position])
            along = np.moveaxis(volume, axis, 0)
            for block, places in assign_blocks(volume.shape[axis], slices, PLANES[plane] == "sagittal").items():
                x = [square(along[i], np.delete(sides, axis)) for i in places]
                # By content: a symmetric template has each sagittal slice twice.
                lit = {image.tobytes(): image for image in x if (image > DARK).mean() >= slices.lit}
                bright = bright or bool(lit)
                if lit:
                    unit = f"{PLANES[plane]} {block}".encode() if slices.by == "block" else content
                    source = f"{path.relative_to(folder).as_posix()} {PLANES[plane]} {places[0]} to {places[-1]}"
                    stacked = np.stack(list(lit.values()))[:, None]  # (N, 1, H, H)
                    group = hashlib.sha256(unit).digest()
                    yield ImageSet(stacked, np.full(len(lit), number), of_test, source, group)
        if not bright:
            raise UserError(
                f"{path}: expected a slice with a share of {slices.lit} above a tenth of white, got none; "
                "lower slices: lit"
            )


def read_volume(path: Path, missing: Literal["error", "background"] = "error") -> tuple[Array, Array]:
    """(X, Y, Z) uint8, from left to right, posterior to anterior, inferior to superior; and the voxels' sides (3,).

    Args:
        path: .nii or .nii.gz; axes of one voxel beyond the third are none.
        missing: what a voxel without a value (NaN) is: a fault, or as dark as the darkest.

    Raises:
        UserError: damaged, not one volume of real numbers, or every voxel has the same value.
    """
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    try:
        image: Any = nibabel.load(path)
        _require_one_volume(path, image.shape, image.get_data_dtype())
        turned: Any = nibabel.as_closest_canonical(image)
        values = np.asarray(turned.dataobj, np.float32).reshape(turned.shape[:3])
    except (ImageFileError, HeaderDataError, *DAMAGE) as error:
        raise UserError(f"{path}: not readable as a NIfTI volume: {_explain(path, error)}") from None
    sides = np.asarray(turned.header.get_zooms()[:3], np.float64)
    if sides.max() > THIN * sides.min():
        raise UserError(
            f"{path}: expected voxels of sides within a factor of {THIN}, got "
            f"{' x '.join(f'{side:g}' for side in sides)} mm by its header; is it damaged?"
        )
    values = _fill_nan(path, values, missing)
    low, high = float(values.min()), float(values.max())
    if low == high:
        raise UserError(f"{path}: expected a volume with an image, got {low:g} in every voxel")
    # A mask of few voxels has its percentile at the dark end: then the full range is shown.
    span = float(np.percentile(values, WHITE)) - low or high - low
    return ((values - low) / span * 255).round().clip(0, 255).astype(np.uint8), sides


def _explain(path: Path, error: Exception) -> str:
    """What is wrong with a file; a wrong suffix is told by the first bytes."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    if packed != path.name.lower().endswith(".gz") and path.stat().st_size:
        return (
            f"it is {'' if packed else 'not '}compressed by gzip; {'.nii.gz' if packed else '.nii'} may be its suffix"
        )
    return " ".join(str(error).split())


def _require_one_volume(path: Path, shape: tuple[int, ...], kind: np.dtype[Any]) -> None:
    """Refuse colours, vectors, complex values and series of volumes."""
    if kind.names is not None:
        raise UserError(
            f"{path}: expected one grey value a voxel, got {''.join(kind.names)} voxels (colours); convert it"
        )
    if kind.kind == "c":
        raise UserError(f"{path}: expected one real value a voxel, such as the magnitude, got complex voxels")
    if len(shape) < 3 or any(length > 1 for length in shape[3:]):
        several = f": {shape[3]} volumes; save one of them, or their mean, as a volume" if len(shape) == 4 else ""
        raise UserError(f"{path}: expected one volume of three axes, got {len(shape)} axes, {shape}{several}")


def _fill_nan(path: Path, values: Array, missing: str) -> Array:
    """Values without NaN."""
    empty = np.isnan(values)
    if np.isinf(values).any() or empty.all():
        raise UserError(f"{path}: expected numbers, got {'no value at all' if empty.all() else 'an infinite voxel'}")
    if not empty.any():
        return values
    if missing == "error":
        raise UserError(
            f"{path}: expected a value in every voxel, got none in {empty.mean():.0%} of them (NaN); slices: "
            "{missing: background} in the data set's entry makes them as dark as the darkest"
        )
    return np.where(empty, values[~empty].min(), values)


def assign_blocks(length: int, slices: Slices, paired: bool) -> dict[int, list[int]]:
    """Number of a block -> its slices; the last `gap` before the next are left out, unless whole volumes are split.

    Where slices are `paired`, blocks are counted from the middle outwards: the two sides of a body are alike.
    """
    slices_of: dict[int, list[int]] = {}
    for i in range(length):
        number, within = divmod(abs(i - (length - 1) // 2) if paired else i, slices.block)
        if slices.by == "volume" or within < slices.block - slices.gap:
            slices_of.setdefault(number, []).append(i)
    return slices_of


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
