"""Number, sizes and missing voxels of NIfTI volumes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from genfoundry.data.readers import image_folder, nifti
from genfoundry.data.readers.folder_layout import derive_layout
from genfoundry.errors import UserError
from genfoundry.onboarding.inspect import classes
from genfoundry.onboarding.inspect.result import Inspection, choose_split_shares

WHOLE = 20  # volumes or more: each goes to a split as a whole
LARGEST = 64  # height and width: what a model of this project learns on two cores in minutes
MANY, FEW = 8, 2  # folders with so few volumes each may be patients
BLOCKS = 8  # along the shortest axis


def inspect_volumes(folder: Path, paths: list[Path], given: Mapping[str, Any]) -> Inspection:
    """Slices of one size in three planes; few volumes are split by blocks of slices; folders name their classes.

    Raises:
        UserError: the first file is damaged, or no volume, or what names the classes is ambiguous.
    """
    names = [path.relative_to(folder).as_posix() for path in paths]
    if "classes" not in given:
        _require_classes(folder, paths)
    layout = derive_layout({tuple(name.split("/")[:-1]) for name in names}, folder, given.get("classes"))
    slices: dict[str, Any] = {}
    try:
        grey, _ = nifti.read_volume(paths[0])
    except UserError as error:
        if "missing: background" not in str(error):
            raise
        slices["missing"] = "background"
        grey, _ = nifti.read_volume(paths[0], "background")
    shortest = min(grey.shape)
    said = [f"{len(paths)} NIfTI volumes, the first of {grey.shape} voxels: slices in three planes"]
    if len(paths) >= WHOLE:
        slices = {"by": "volume", **slices}
        said.append("slices: by: volume: a volume goes to a split as a whole")
    else:
        block = max(2, shortest // BLOCKS)
        slices = {"by": "block", "block": block, "gap": max(1, block // 3), **slices}
        said.append(
            f"slices: by: block: {len(paths)} volumes are too few to split as wholes; blocks of {block} slices are"
        )
    if "missing" in slices:
        said.append("slices: missing: background: voxels without a value (NaN) are as dark as the darkest")
    size = given.get("size") or max(8, min(LARGEST, int(np.sort(grey.shape)[1]) // 8 * 8))
    said.append(f"size: {size}: a slice is made square and resized to it")
    number = sum(grey.shape) * len(paths)
    entry = {"modality": "images", "split": choose_split_shares(min(number, 1999)), "size": size, "slices": slices}
    if layout.rule != "parent":
        entry["classes"] = layout.rule
    if image_folder.labels_planes(layout):
        return Inspection(entry, [*said, f"classes: {', '.join(nifti.PLANES)}: the plane that a slice is cut in"])
    return Inspection(entry, [*said, *classes.describe_folder_classes(names, layout, "volumes")])


def _require_classes(folder: Path, paths: list[Path]) -> None:
    """Refuse many folders of one or two volumes each: patients, most likely, but nothing in the files says so.

    Raises:
        UserError: names the key that decides.
    """
    folders = Counter(path.parent for path in paths if path.parent != folder)
    if len(folders) >= MANY and max(folders.values()) <= FEW:
        raise UserError(
            f"{folder}: {len(folders)} folders of one or two volumes each may be patients or classes; expected "
            "`classes: none` or `classes: parent` in the data set's entry (make init ... CLASSES=none)"
        )
