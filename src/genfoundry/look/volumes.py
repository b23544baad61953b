"""Number, sizes and missing voxels of NIfTI volumes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from genfoundry.data import volumes
from genfoundry.look.seen import Seen, shares
from genfoundry.types import UserError

WHOLE = 20  # volumes or more: each goes to a split as a whole
LARGEST = 64  # height and width: what a model of this project learns on two cores in minutes
SHOWN = 5  # names of classes
BLOCKS = 8  # along the shortest axis


def look(folder: Path, paths: list[Path]) -> Seen:
    """Slices of one size in three planes; few volumes are split by blocks of slices.

    Raises:
        UserError: the first file is damaged, or no volume.
    """
    slices: dict[str, Any] = {}
    try:
        grey, _ = volumes.read(paths[0])
    except UserError as error:
        if "missing: background" not in str(error):
            raise
        slices["missing"] = "background"
        grey, _ = volumes.read(paths[0], "background")
    folders = Counter(path.parent for path in paths if path.parent != folder)
    shortest = min(grey.shape)
    said = [f"{len(paths)} NIfTI volumes, the first of {grey.shape} voxels: slices in three planes"]
    if volumes.is_by_patient(folders):
        said.append(f"{len(folders)} folders of one or two volumes are taken as patients: they name no classes")
    elif len(folders) > 1:
        said.append(f"classes: {', '.join(volumes.classes(folder)[:SHOWN])}{', ...' if len(folders) > SHOWN else ''}")
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
    size = max(8, min(LARGEST, int(np.sort(grey.shape)[1]) // 8 * 8))
    said.append(f"size: {size}: a slice is made square and resized to it")
    number = sum(grey.shape) * len(paths)
    return Seen({"modality": "images", "split": shares(min(number, 1999)), "size": size, "slices": slices}, said)
