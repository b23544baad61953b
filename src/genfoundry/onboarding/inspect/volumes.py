"""Inspection of NIfTI volumes: number, sizes and missing voxels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from genfoundry.data.readers import image_folder, nifti
from genfoundry.errors import UserError
from genfoundry.onboarding.inspect import classes
from genfoundry.onboarding.inspect.result import LARGEST, Inspection, choose_split_shares

MANY_VOLUMES = 20  # or more: each goes to one split
MANY_FOLDERS, FEW = 8, 2  # so many folders, of so few volumes each, may be patients
BLOCKS = 8  # along the shortest axis


def inspect_volumes(folder: Path, paths: list[Path], given: Mapping[str, Any]) -> Inspection:
    """Choose slices of one size in three planes, and how they are split: by volume, or, of few volumes, by blocks.

    Raises:
        UserError: the first file is damaged, or no volume, or what names the classes is ambiguous.
    """
    if "classes" not in given:
        _require_classes(folder, paths)
    names, layout = classes.derive_layout(folder, paths, given)
    slices: dict[str, Any] = {}
    try:
        grey, _ = nifti.read_volume(paths[0])
    except UserError as error:
        if "missing: background" not in str(error):
            raise
        slices["missing"] = "background"
        grey, _ = nifti.read_volume(paths[0], "background")
    shortest = min(grey.shape)
    notes = [f"{len(paths)} NIfTI volumes, the first of {grey.shape} voxels: slices in three planes"]
    if len(paths) >= MANY_VOLUMES:
        slices = {"by": "volume", **slices}
        notes.append("slices: by: volume: each volume goes to one split")
    else:
        block = max(2, shortest // BLOCKS)
        # Neighbouring slices are nearly equal: the gap between blocks keeps them from lying in two splits.
        slices = {"by": "block", "block": block, "gap": max(1, block // 3), **slices}
        notes.append(f"slices: by: block: {len(paths)} volumes are too few; blocks of {block} slices are split")
    if "missing" in slices:
        notes.append("slices: missing: background: voxels without a value (NaN) are as dark as the darkest")
    size = given.get("size") or max(8, min(LARGEST, int(np.sort(grey.shape)[1]) // 8 * 8))
    notes.append(f"size: {size}: a slice is made square and resized to it")
    # Slices of a volume are no independent items, so that shares are chosen as for a small data set.
    items = min(sum(grey.shape) * len(paths), 1999)
    entry = {"modality": "images", "split": choose_split_shares(items), "size": size, "slices": slices}
    if layout.rule != "parent":
        entry["classes"] = layout.rule
    if image_folder.labels_planes(layout):
        return Inspection(entry, [*notes, f"classes: {', '.join(nifti.PLANES)}: the plane that a slice is cut in"])
    return Inspection(entry, [*notes, *classes.describe_folder_classes(names, layout, "volumes")])


def _require_classes(folder: Path, paths: list[Path]) -> None:
    """Refuse many folders of one or two volumes each: patients, most likely, but nothing in the files says so.

    Raises:
        UserError: names the key that decides.
    """
    folders = Counter(path.parent for path in paths if path.parent != folder)
    if len(folders) >= MANY_FOLDERS and max(folders.values()) <= FEW:
        raise UserError(
            f"{folder}: {len(folders)} folders of one or two volumes each may be patients or classes; expected "
            "`classes: none` or `classes: parent` in the data set's entry (make init ... CLASSES=none)"
        )
