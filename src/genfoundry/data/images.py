"""Images: IDX, .npz, CSV of grey values, folders of PNG or JPEG -> (N, C, H, W) uint8 and labels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from genfoundry import config
from genfoundry.data import arrays, pictures, volumes
from genfoundry.data.arrays import Part
from genfoundry.data.base import SPLITS, Prepared, assign, files, only
from genfoundry.data.patches import cut
from genfoundry.data.pictures import PLAIN, SUFFIXES, Form
from genfoundry.data.pixels import ImageSplit as Split
from genfoundry.data.pixels import describe
from genfoundry.data.sources import names as names_of
from genfoundry.data.volumes import VOLUMES
from genfoundry.types import Spec, UserError

TEST = "test"  # a folder of this name, with a folder a class in it, is a published test split


def prepare(raw: Path, inbox: Path, dataset: config.Dataset, seed: int) -> Prepared:
    """Read everything in the declared form, hash every image into its split, describe it."""
    form = Form(dataset.size, dataset.colour, dataset.patch, dataset.slices)
    old, names = read(raw, form)
    tables = () if files(inbox, *SUFFIXES) else (".csv", ".csv.gz")
    only(inbox, ".npz", "-ubyte", "-ubyte.gz", *tables, *SUFFIXES, *VOLUMES)
    new, new_names = read(inbox, form)
    if not old:
        raise UserError(f"{raw}: no images; IDX, .npz, .csv, .nii, or folders of .png and .jpg are read")
    names = names or names_of(dataset)
    if unknown := sorted(set(new_names) - set(names)):
        known = f"known are {', '.join(names)}" if names else "this data set's images lie in no class's folder"
        raise UserError(f"{inbox}: class {unknown[0]!r} is new; {known}")
    _rename(new, new_names, names)
    classes = dataset.expect.labels or max(int(p.label.max()) for p in old) + 1
    _alike(old + new)
    for part in old + new:
        _fits(part, classes, dataset.levels)
    if classes == 1:  # one class tells nothing apart: as good as none
        classes, names = 0, ()
        for part in old + new:
            part.label = np.full(len(part.x), -1)
    return _split(old + new, len(old), dataset, seed, classes, names)


def _rename(parts: list[Part], theirs: tuple[str, ...], ours: tuple[str, ...]) -> None:
    """An inbox may hold some of the classes only: its folders' numbers become those of the data set."""
    table = np.array([ours.index(name) for name in theirs])
    for part in parts:
        if len(table) and part.label.min() >= 0 and (part.group or part.source.lower().endswith(SUFFIXES)):
            part.label = table[part.label]


def read(folder: Path, form: Form = PLAIN) -> tuple[list[Part], tuple[str, ...]]:
    """Every image below a folder, and the class names where folders name them.

    Raises:
        UserError: a file is truncated, damaged, or not what its name says.
    """
    paths = files(folder, *SUFFIXES)
    parts = [part for part in arrays.parts(folder, tables=not paths) if len(part.x)]  # a .csv beside pictures is a list
    parts += volumes.parts(folder, form.slices)
    for part in parts:
        part.x = pictures.formed(part.x, form, part.source)
    names = sorted({p.parent.name for p in paths if p.parent != folder})
    parts += _pictures(folder, paths, names, form)
    return (list(_patches(parts, form.patch)) if form.patch else parts), tuple(names) or volumes.classes(folder)


def _pictures(folder: Path, paths: list[Path], names: list[str], form: Form) -> Iterator[Part]:
    """The class is the name of the folder that a file is in, none directly below `folder`."""
    for path, x in zip(paths, pictures.read(paths, form), strict=True):
        within = path.relative_to(folder)
        label = names.index(path.parent.name) if path.parent != folder else -1
        published = len(within.parts) > 2 and within.parts[0] == TEST
        yield Part(x[None], np.array([label]), published, within.as_posix())


def _patches(parts: list[Part], patch: config.Patch) -> Iterator[Part]:
    """A part a region."""
    for part in parts:
        for image, label in zip(part.x, part.label, strict=True):
            for region, x in cut(image, patch, part.source):
                yield Part(x, np.full(len(x), label), part.test, part.source, region)


def _alike(parts: list[Part]) -> None:
    """Refuse a mixture of shapes, and say all that has to be declared for it."""
    first = parts[0].x.shape[1:]
    shapes = {part.x.shape[1:] for part in parts}
    if len(shapes) == 1:
        return
    other = next(part for part in parts if part.x.shape[1:] != first)
    colours, sizes = ({shape[:1] for shape in shapes}, {shape[1:] for shape in shapes})
    needed = ["colour: grey or colour: rgb"] * (len(colours) > 1) + ["size: 64 (or [height, width])"] * (len(sizes) > 1)
    raise UserError(
        f"{other.source}: images of {other.x.shape[1:]} (C,H,W), but {parts[0].source} has {first}; "
        f"declare {' and '.join(needed)} in the data set's entry"
    )


def _fits(part: Part, classes: int, levels: int) -> None:
    wrong = part.label[(part.label < -1) | (part.label >= classes)]
    if len(wrong):
        raise UserError(f"{part.source}: label {int(wrong[0])} is outside the classes 0 to {classes - 1}")
    if part.x.max(initial=0) >= levels:
        hint = "that is what the files have, fewer are a task's to ask for"
        raise UserError(f"{part.source}: grey value {part.x.max()}, but the entry has levels: {levels}; {hint}")


def _split(
    parts: list[Part], old: int, dataset: config.Dataset, seed: int, classes: int, names: tuple[str, ...]
) -> Prepared:
    published = any(part.test for part in parts[:old])
    seen: set[bytes] = set()
    keep, splits, digests, sources = [], [], [], []
    start = 0
    for number, part in enumerate(parts):
        for i, image in enumerate(part.x):
            digest = hashlib.sha256(image.tobytes()).digest()
            if number >= old and digest in seen:
                continue  # an inbox may bring again what is there; it does not count twice
            seen.add(digest)
            keep.append(start + i)
            sources.append(part.source)
            digests.append(digest[:8].hex())
            what = part.group or digest
            splits.append("test" if part.test and number < old else assign(seed, what, dataset, published))
        start += len(part.x)
    x = np.concatenate([p.x for p in parts])[keep]
    label = np.concatenate([p.label for p in parts])[keep]
    where = np.array(splits)
    held = {s: {"x": x[where == s], "label": label[where == s].astype(np.int16)} for s in SPLITS}
    counts = tuple(np.bincount(label[(where == "train") & (label >= 0)], minlength=classes).tolist())
    spec = Spec(tuple(x.shape[1:]), dataset.levels, classes, counts if classes else ())
    table = describe(x, label, where, np.array(digests), np.array(sources))
    return Prepared(held, spec, names, {s: int((where == s).sum()) for s in SPLITS}, table)


__all__ = ["Split", "prepare"]
