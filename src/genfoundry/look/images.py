"""Sizes, colours and values of images."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

from genfoundry.data import arrays, pictures
from genfoundry.data.progress import told
from genfoundry.look.seen import Seen, shares
from genfoundry.types import UserError

LARGEST = 64  # height and width: what a model of this project learns on two cores in minutes


def look(folder: Path, paths: list[Path]) -> Seen:
    """A size where they differ or are large, the colour, the number of levels of an array's values.

    Raises:
        UserError: a file is damaged, or not of 8 bits.
    """
    if all(path.name.lower().endswith(pictures.SUFFIXES) for path in paths):
        return _pictures(paths)
    parts = [part for part in arrays.parts(folder) if len(part.x)]
    if not parts:
        raise UserError(f"{folder}: no images in {paths[0].name}")
    shapes = Counter(part.x.shape[1:] for part in parts)
    top = max(int(part.x.max()) for part in parts)
    number = sum(len(part.x) for part in parts)
    said = [f"{number} images of {' or '.join(str(s) for s in shapes)} (C, H, W), values 0 to {top}"]
    entry: dict[str, Any] = {"split": shares(number)}
    sides = [side for shape in shapes for side in shape[1:]]
    if len({shape[1:] for shape in shapes}) > 1 or max(sides) > LARGEST:
        entry["size"] = min(LARGEST, min(sides))
        said.append(f"size: {entry['size']}, as they differ or are larger than what trains in minutes")
    elif top < 64:
        entry["levels"] = max(top + 1, 2)
    if len({shape[0] for shape in shapes}) > 1:
        entry["colour"] = "rgb"
    if any(part.test for part in parts):
        said.append("the published test split is kept; the rest is spread over train, val and gate")
    return Seen(entry, said)


def _pictures(paths: list[Path]) -> Seen:
    kinds = [pictures.kind(path) for path in told(paths, len(paths), "looking at images")]
    sizes = Counter(size for size, _, _ in kinds)
    colours = Counter(colour for _, colour, _ in kinds)
    sides = [min(size) for size in sizes.elements()]
    said = [f"{len(paths)} images, {min(sides)} to {max(sides)} pixels at the shorter side, "
            + " and ".join(f"{count} {colour}" for colour, count in sorted(colours.items()))]  # fmt: skip
    entry: dict[str, Any] = {"split": shares(len(paths))}
    if len(sizes) > 1 or max(max(size) for size in sizes) > LARGEST:
        entry["size"] = max(8, min(LARGEST, int(median(sides)) // 8 * 8))
        said.append(f"size: {entry['size']}: the shorter side is resized to it, the centre cut out")
    entry["colour"] = "rgb" if "rgb" in colours and not _colourless(paths) else "grey"
    said.append(f"colour: {entry['colour']}; add `flip: true` if an image and its mirror image are as likely")
    return Seen(entry, said)


def _colourless(paths: list[Path], most: int = 64) -> bool:
    """Whether some of the files, evenly chosen, are grey although they have three channels."""
    some = paths[:: max(1, len(paths) // most)]
    return all((x == x[:1]).all() for x in map(pictures.picture, some))
