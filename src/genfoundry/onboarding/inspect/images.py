"""Inspection of images: sizes, colours, values and classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from genfoundry.console.progress import track
from genfoundry.data.modalities.images import LEAST_SIDE
from genfoundry.data.readers import image_folder, npz
from genfoundry.data.readers import images as image_reader
from genfoundry.data.readers.arrays import ImageSet
from genfoundry.data.readers.images import PLAIN, SUFFIXES, Faults, Form
from genfoundry.data.readers.listing import filter_suffixes
from genfoundry.errors import UserError
from genfoundry.onboarding.inspect import classes
from genfoundry.onboarding.inspect.result import LARGEST, Inspection, choose_split_shares


def inspect_images(folder: Path, paths: list[Path], given: Mapping[str, Any]) -> Inspection:
    """Choose a size where theirs differ or are large, the colour, the levels of arrays, and what names the classes.

    Raises:
        UserError: a file is damaged, or not of 8 bits, or what names the classes is ambiguous.
    """
    if pictures := filter_suffixes(paths, *SUFFIXES):
        return _inspect_pictures(folder, pictures, given)
    images = image_folder.read_images(folder, Form(label=given.get("label")))
    if not images.parts:
        raise UserError(f"{folder}: no images in {paths[0].name}")
    inspection = _inspect_arrays(images.parts, given)
    column = {"label": images.label} if images.label else {}
    notes = [f"label: {images.label}: the column of the label"] if images.label else []
    for path in filter_suffixes(paths, ".npz"):
        if names := npz.unused_arrays(path):
            notes.append(f"left out: arrays of {path.name} that are no images or labels: {', '.join(names)}")
    if folders := sorted({path.parent.name for path in paths if path.parent != folder}):
        notes.append(f"folders of such files name no classes, labels do: {', '.join(folders[:4])}")
    notes = [*inspection.notes, *notes, *classes.describe_array_classes(images.parts)]
    return Inspection({**inspection.entry, **column}, notes)


def _inspect_arrays(parts: list[ImageSet], given: Mapping[str, Any]) -> Inspection:
    shapes = Counter(part.x.shape[1:] for part in parts)
    top = max(int(part.x.max()) for part in parts)
    number = sum(len(part.x) for part in parts)
    notes = [f"{number} images of {' or '.join(str(s) for s in shapes)} (C, H, W), values 0 to {top}"]
    entry: dict[str, Any] = {"split": choose_split_shares(number)}
    sides = [side for shape in shapes for side in shape[1:]]
    if "size" in given:  # resized, they may have more levels than the files
        notes.append(f"size: {given['size']}, as given")
    elif len({shape[1:] for shape in shapes}) > 1 or max(sides) > LARGEST:
        entry["size"] = max(LEAST_SIDE, min(LARGEST, min(sides)))
        notes.append(f"size: {entry['size']}, as they differ or are larger than what trains in minutes")
    # Few grey values, such as 17 of scanned digits, are levels of their own, which are modelled as they are.
    elif top < 64:
        entry["levels"] = max(top + 1, 2)
    if len({shape[0] for shape in shapes}) > 1:
        entry["colour"] = "rgb"
    tests = [bool(test) for part in parts for test in part.tests]
    if any(tests) and not all(tests):
        notes.append(classes.TEST_KEPT)
    return Inspection(entry, notes)


def _inspect_pictures(folder: Path, paths: list[Path], given: Mapping[str, Any]) -> Inspection:
    """The entry of picture files; array files beside them are read too, and brought to the same form."""
    names, layout = classes.derive_layout(folder, paths, given)
    sizes, colours, animations = _read_headers(paths)
    sides = [min(size) for size in sizes.elements()]
    notes = [f"{len(paths)} images, {min(sides)} to {max(sides)} pixels at the shorter side, "
            + " and ".join(f"{count} {colour}" for colour, count in sorted(colours.items()))]  # fmt: skip
    entry: dict[str, Any] = {"split": choose_split_shares(len(paths))}
    large = len(sizes) > 1 or max(max(size) for size in sizes) > LARGEST
    if "size" in given or (large and "patch" not in given):  # patches are cut from the pictures as they are
        # A multiple of 8, which networks can halve three times.
        entry["size"] = given.get("size") or max(8, min(LARGEST, int(median(sides)) // 8 * 8))
        notes.append(f"size: {entry['size']}: the shorter side is resized to it, the centre cut out")
    entry["colour"] = "rgb" if "rgb" in colours and not _are_grey(paths) else "grey"
    notes.append(f"colour: {entry['colour']}; add `flip: true` if an image and its mirror image are as likely")
    kinds = Counter(path.suffix.lower() for path in paths)
    if len(kinds) > 1:
        notes.append("kinds of files: " + ", ".join(f"{count} {suffix}" for suffix, count in kinds.most_common()))
    if animations:
        notes.append(f"{len(animations)} animations, e.g. {animations[0].name}: of each the first frame is taken")
    if layout.rule != "parent":
        entry["classes"] = layout.rule
    return Inspection(entry, [*notes, *classes.describe_folder_classes(names, layout)])


def _read_headers(paths: list[Path]) -> tuple[Counter[tuple[int, int]], Counter[str], list[Path]]:
    """Numbers of files by size and by colour, and the animations.

    Raises:
        UserError: files cannot be read; the first one, and how many.
    """
    sizes: Counter[tuple[int, int]] = Counter()
    colours: Counter[str] = Counter()
    animations, faults = [], Faults()
    for path in track(paths, len(paths), "looking at images"):
        try:
            size, colour, animated = image_reader.read_header(path)
        except UserError as error:
            faults.add(error)
            continue
        sizes[size] += 1
        colours[colour] += 1
        animations += [path] * animated
    faults.check(len(paths))
    return sizes, colours, animations


def _are_grey(paths: list[Path]) -> bool:
    """Whether the channels of all files are equal; where those of about 64 files are not, no more are read."""
    # A sample tells colour pictures at once; only where it is grey are all of them read.
    few = paths[:: max(1, len(paths) // 64)]
    return all(bool(np.all(x == x[:1])) for files in (few, paths) for x in image_reader.read_pictures(files, PLAIN))
