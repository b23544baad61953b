"""Images: IDX, .npz, CSV of grey values, NIfTI, folders of pictures -> (N, C, H, W) uint8 and labels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from genfoundry import config
from genfoundry.data.modalities.describe_pixels import describe
from genfoundry.data.preparation import Prepared
from genfoundry.data.readers import class_labels, image_folder
from genfoundry.data.readers.arrays import Array, ImageSet
from genfoundry.data.readers.class_names import names_of
from genfoundry.data.readers.image_folder import KINDS, TABLES, read
from genfoundry.data.readers.images import SUFFIXES, Form
from genfoundry.data.readers.listing import files, only
from genfoundry.data.split_assignment import assign, assign_groups, numbered
from genfoundry.errors import UserError
from genfoundry.splits import SPLITS
from genfoundry.types import Spec

LEAST_SIDE = 4  # pixels: what every model and metric here can work with
MOST_CLASSES = 1 << 15  # labels are kept in 16 bits


def prepare(raw: Path, inbox: Path, dataset: config.Dataset, seed: int) -> Prepared:
    """Read everything in the declared form, hash every image into its split, describe it."""
    form = Form(dataset.size, dataset.colour, dataset.patch, dataset.slices, dataset.classes, dataset.label)
    old = read(raw, form)
    only(inbox, *KINDS, *(() if files(inbox, *SUFFIXES) else TABLES))
    new = read(inbox, replace(form, label=form.label or old.label), old.layout)
    if not old.parts:
        raise UserError(f"{raw}: no images; IDX, .npz, .csv, .nii, or folders of {', '.join(SUFFIXES)} are read")
    parts = old.parts + new.parts
    names = class_labels.unify(old.parts, new.parts, dataset.expect.labels, names_of(dataset), inbox)
    classes = dataset.expect.labels or max(int(p.label.max()) for p in old.parts) + 1
    shapes: dict[tuple[int, ...], str] = {}
    for part in parts:
        shapes.setdefault(part.x.shape[1:], part.source)
    image_folder.require_one_shape(shapes)
    _require_sides(parts[0])
    for part in parts:
        _require_fit(part, classes, dataset.levels)
    if classes == 1:  # one class tells nothing apart: as good as none
        classes, names = 0, ()
        for part in parts:
            part.label = np.full(len(part.x), -1)
    count = len(old.parts)
    decided = {"label": "first"} if old.label == "first" else {}
    del old, new  # or their arrays would stay beside the joined one
    return replace(_split(parts, count, dataset, seed, classes, names), declared=decided)


def _require_sides(part: ImageSet) -> None:
    height, width = part.x.shape[2:]
    if min(height, width) < LEAST_SIDE:
        raise UserError(
            f"{part.source}: images of {height} x {width} pixels; {LEAST_SIDE} or more a side are right: "
            "`size: 8` in the data set's entry enlarges them (make init ... SIZE=8)"
        )


def _require_fit(part: ImageSet, classes: int, levels: int) -> None:
    wrong = np.flatnonzero((part.label < -1) | (part.label >= classes))
    if len(wrong):
        where, label = part.sources[wrong[0]], int(part.label[wrong[0]])
        raise UserError(f"{where}: label {label} is outside the classes 0 to {classes - 1} (-1: no label)")
    if classes > MOST_CLASSES:
        raise UserError(f"{part.source}: {classes} classes; up to {MOST_CLASSES} are right: are these labels?")
    if levels < 256 and part.x.max(initial=0) >= levels:
        where = part.sources[int((part.x.reshape(len(part.x), -1) >= levels).any(1).argmax())]
        hint = "that is what the files have, fewer are a task's to ask for"
        raise UserError(f"{where}: grey value {part.x.max()}, but the entry has levels: {levels}; {hint}")


def _split(
    parts: list[ImageSet], old: int, dataset: config.Dataset, seed: int, classes: int, names: tuple[str, ...]
) -> Prepared:
    grouped = any(part.group for part in parts)
    kept = list(_rows(parts, old, dataset, seed))
    differ = len({row.digest for row in kept})
    if len(kept) > differ < len(SPLITS):
        raise UserError(
            f"{parts[0].source}: {len(kept)} images, of which {differ} differ; equal ones go to one split, so four "
            "splits need more that differ"
        )
    x, label = _joined([p.x for p in parts]), np.concatenate([p.label for p in parts])
    if len(kept) < len(x):
        at = [row.at for row in kept]
        x, label = x[at], label[at]
    parts.clear()
    where = np.array([row.split for row in kept])
    digest = np.array([row.digest[:8].hex() for row in kept])
    table = describe(x, label, where, digest, np.array([row.source for row in kept]))
    counts = tuple(np.bincount(label[(where == "train") & (label >= 0)], minlength=classes).tolist())
    spec = Spec(tuple(x.shape[1:]), dataset.levels, classes, counts if classes else ())
    beside = {"label": label.astype(np.int16)} | ({"group": numbered([row.group for row in kept])} if grouped else {})
    held = split_in_place(x, beside, where)
    return Prepared(held, spec, names, {s: int((where == s).sum()) for s in SPLITS}, table)


class Row(NamedTuple):
    """An image that is kept: its place among those of all parts, its split, what goes to a split as a whole with it."""

    at: int
    split: str
    group: bytes
    digest: bytes
    source: str


def _rows(parts: list[ImageSet], old: int, dataset: config.Dataset, seed: int) -> Iterator[Row]:
    """The images that are kept: of a held-out split's, those alone that share no pixels; of the inbox's, new ones."""
    tests = [part.tests for part in parts[:old]]
    published = any(test.any() for test in tests) and not all(test.all() for test in tests)
    counted_off = {p.group for p, test in zip(parts, tests, strict=False) if p.group and not (published and test.all())}
    later = [part.group for part in parts if part.group]
    of_group = assign_groups(seed, counted_off, later, dataset, published) if counted_off else {}
    seen: set[bytes] = set()
    start = 0
    for number, part in enumerate(parts):
        disjoint = np.ones(len(part.x), bool) if part.disjoint is None else part.disjoint
        for i, (image, test, source) in enumerate(zip(part.x, part.tests, part.sources, strict=True)):
            digest = hashlib.sha256(image.tobytes()).digest()
            if number >= old and digest in seen:
                continue  # an inbox may bring again what is there; it does not count twice
            group = part.group or digest
            split = of_group.get(group) or assign(seed, group, dataset, published)
            split = "test" if published and test and number < old else split
            if split == "train" or disjoint[i]:
                seen.add(digest)
                yield Row(start + i, split, group, digest, source)
        start += len(part.x)


def _joined(arrays: Sequence[Array]) -> Array:
    """One array of all of them, in memory of its own that may be written to."""
    first = arrays[0]
    if len(arrays) == 1 and first.flags.c_contiguous and first.flags.owndata and first.flags.writeable:
        return first
    return np.concatenate(arrays)


def split_in_place(x: Array, beside: dict[str, Array], where: Array) -> dict[str, dict[str, Array]]:
    """The images of each split, in order, and what each has `beside` it.

    `x` itself is put in the order of the splits, so that no image is held twice.
    """
    order = np.concatenate([np.flatnonzero(where == s) for s in SPLITS])
    _reorder(x, order)
    columns = {"x": x} | {name: values[order] for name, values in beside.items()}
    ends = np.cumsum([0, *((where == s).sum() for s in SPLITS)])
    return {
        s: {name: values[a:b] for name, values in columns.items()}
        for s, a, b in zip(SPLITS, ends, ends[1:], strict=False)
    }


def _reorder(x: Array, order: Array) -> None:
    """x[i] becomes x[order[i]], in place: each cycle of the permutation needs room for one image."""
    sources, done = order.tolist(), bytearray(len(order))
    for start in range(len(sources)):
        if done[start] or sources[start] == start:
            continue
        first, at = x[start].copy(), start
        while (source := sources[at]) != start:
            x[at], done[at], at = x[source], True, source
        x[at], done[at] = first, True
