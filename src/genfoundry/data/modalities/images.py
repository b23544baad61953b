"""Images: IDX, .npz, CSV of grey values, NIfTI, folders of pictures -> (N, C, H, W) uint8 and labels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np

from genfoundry import config
from genfoundry.data.modalities.describe_pixels import describe
from genfoundry.data.preparation import Arrays, Prepared
from genfoundry.data.readers import class_labels
from genfoundry.data.readers.arrays import Array, ImageSet
from genfoundry.data.readers.image_folder import KINDS, TABLES, read_images, require_one_shape
from genfoundry.data.readers.images import SUFFIXES, Form
from genfoundry.data.readers.listing import list_files, require_suffixes
from genfoundry.data.split_assignment import assign_groups, assign_split, number_groups
from genfoundry.data.transforms.stacked_images import stack_images
from genfoundry.errors import UserError
from genfoundry.splits import HELD_OUT, SPLITS
from genfoundry.types import Spec

LEAST_SIDE = 4  # pixels: what every model and metric here can work with
MOST_CLASSES = 1 << 15  # labels are stored in 16 bits


def prepare(raw: Path, inbox: Path, dataset: config.Dataset, seed: int) -> Prepared:
    """Read every image in the declared form, hash it into its split, describe it."""
    d = dataset
    form = Form(d.size, d.colour, d.patch, d.slices, d.classes, d.label, d.metadata)
    old = read_images(raw, form)
    require_suffixes(inbox, *KINDS, *(() if list_files(inbox, *SUFFIXES) else TABLES))
    new = read_images(inbox, replace(form, label=form.label or old.label), old.layout)
    if not old.parts:
        raise UserError(
            f"{raw}: expected images (IDX, .npz, .csv, .nii, or folders of {', '.join(SUFFIXES)}), got none"
        )
    parts = old.parts + new.parts
    published = class_labels.published_names(dataset)
    declared_classes = None if dataset.stack else dataset.expect.labels  # those of a stack are made of the files'
    names = class_labels.unify(old.parts, new.parts, declared_classes, published, inbox)
    classes = declared_classes or max(int(p.label.max()) for p in old.parts) + 1
    shapes: dict[tuple[int, ...], str] = {}
    for part in parts:
        shapes.setdefault(part.x.shape[1:], part.source)
    require_one_shape(shapes)
    _require_sides(parts[0])
    for part in parts:
        _require_ranges(part, classes, dataset.levels)
    if classes == 1:  # one class tells nothing apart: as good as none
        classes, names = 0, ()
        for part in parts:
            part.label = np.full(len(part.x), -1)
    count, declared = len(old.parts), {"label": "first"} if old.label == "first" else {}
    del old, new  # or their arrays would stay beside the joined one
    made = replace(_split(parts, count, dataset, seed, classes, names), declared=declared)
    return _stack(made, raw, dataset.stack, seed) if dataset.stack else made


def _require_sides(part: ImageSet) -> None:
    height, width = part.x.shape[2:]
    if min(height, width) < LEAST_SIDE:
        raise UserError(
            f"{part.source}: expected images of {LEAST_SIDE} pixels or more a side, got {height} x {width}; "
            "`size: 8` in the data set's entry enlarges them (make init ... SIZE=8)"
        )


def _require_ranges(part: ImageSet, classes: int, levels: int) -> None:
    """Refuse a label outside the classes, or a value outside the levels."""
    wrong = np.flatnonzero((part.label < -1) | (part.label >= classes))
    if len(wrong):
        where, label = part.sources[wrong[0]], int(part.label[wrong[0]])
        raise UserError(f"{where}: expected a label from 0 to {classes - 1} (-1: no label), got {label}")
    if classes > MOST_CLASSES:
        raise UserError(f"{part.source}: expected up to {MOST_CLASSES} classes, got {classes}: are these labels?")
    if levels < 256 and part.x.max(initial=0) >= levels:
        where = part.sources[int((part.x.reshape(len(part.x), -1) >= levels).any(1).argmax())]
        hint = "that is what the files have, fewer are a task's to ask for"
        raise UserError(f"{where}: expected grey values below levels: {levels}, got {part.x.max()}; {hint}")


def _split(
    parts: list[ImageSet], old: int, dataset: config.Dataset, seed: int, classes: int, names: tuple[str, ...]
) -> Prepared:
    grouped = any(part.group for part in parts)
    rows = list(_select_rows(parts, old, dataset, seed))
    distinct = len({row.digest for row in rows})
    if len(rows) > distinct < len(SPLITS):
        raise UserError(
            f"{parts[0].source}: expected {len(SPLITS)} different images or more, as many as there are splits, got "
            f"{distinct} among {len(rows)}: equal ones go to one split"
        )
    x, label = _join([p.x for p in parts]), np.concatenate([p.label for p in parts])
    if len(rows) < len(x):
        at = [row.at for row in rows]
        x, label = x[at], label[at]
    parts.clear()  # frees their arrays
    split_of = np.array([row.split for row in rows])
    digest = np.array([row.digest[:8].hex() for row in rows])
    table = describe(x, label, split_of, digest, np.array([row.source for row in rows]))
    counts = tuple(np.bincount(label[(split_of == "train") & (label >= 0)], minlength=classes).tolist())
    spec = Spec(tuple(x.shape[1:]), dataset.levels, classes, counts if classes else ())
    columns: dict[str, Array] = {"label": label.astype(np.int16)}
    columns |= {"group": number_groups([row.group for row in rows])} if grouped else {}
    splits = split_in_place(x, columns, split_of)
    return Prepared(splits, spec, names, {s: int((split_of == s).sum()) for s in SPLITS}, table)


def _stack(grey: Prepared, raw: Path, stack: config.Stack, seed: int) -> Prepared:
    """Each split's images made of its own grey ones; the table's source are the grey images in each.

    Held-out images are in groups that share no grey image: others would be no independent items.
    """
    if grey.spec.shape[0] != 1 or grey.spec.classes < 2:
        raise UserError(
            f"{raw}: stack: expected grey images (1, H, W) of 2 classes or more, got {grey.spec.shape} of "
            f"{grey.spec.classes}; declare colour: grey"
        )
    import pandas as pd

    counts, splits, tables = stack.images.model_dump(), dict[str, Arrays](), []
    for name in SPLITS:
        column, key = grey.splits[name], (seed, "stack", name)
        label, held_out = column["label"].astype(np.int64), name in HELD_OUT
        x, label, members, block = stack_images(
            column["x"], label, grey.spec.classes, stack.channels, counts[name], key, apart=held_out
        )
        splits[name] = {"x": x, "label": label.astype(np.int16)} | ({"group": block} if held_out else {})
        digest = np.array([hashlib.sha256(image.tobytes()).hexdigest()[:16] for image in x])
        of_grey = grey.describe["digest"][grey.describe["split"] == name].to_numpy()
        source = np.array([" ".join(row) for row in of_grey[members]])
        tables.append(describe(x, label, np.full(len(x), name), digest, source))
    classes = grey.spec.classes**stack.channels
    of_train = np.bincount(splits["train"]["label"], minlength=classes).tolist()
    spec = replace(grey.spec, shape=splits["train"]["x"].shape[1:], classes=classes, class_counts=tuple(of_train))
    between = " " if any(len(name) > 1 for name in grey.names) else ""
    names = tuple(between.join(words) for words in product(grey.names, repeat=stack.channels))
    return replace(
        grey, splits=splits, spec=spec, names=names, counts=counts, describe=pd.concat(tables, ignore_index=True)
    )


class Row(NamedTuple):
    """An image of the data set: its place among those of all parts, and what its split is decided by."""

    at: int
    split: str
    group: bytes
    digest: bytes
    source: str


def _select_rows(parts: list[ImageSet], old: int, dataset: config.Dataset, seed: int) -> Iterator[Row]:
    """The images of the data set: in a held-out split, those alone that share no pixels; of the inbox, new ones."""
    tests = [part.tests for part in parts[:old]]
    published = any(test.any() for test in tests) and not all(test.all() for test in tests)
    raw = {p.group for p, test in zip(parts, tests, strict=False) if p.group and not (published and test.all())}
    later = [part.group for part in parts if part.group]
    split_of_group = assign_groups(seed, raw, later, dataset, published) if raw else {}
    seen: set[bytes] = set()
    start = 0
    for number, part in enumerate(parts):
        disjoint = np.ones(len(part.x), bool) if part.disjoint is None else part.disjoint
        for i, (image, test, source) in enumerate(zip(part.x, part.tests, part.sources, strict=True)):
            digest = hashlib.sha256(image.tobytes()).digest()
            if number >= old and digest in seen:
                continue  # an inbox may bring an image again; it does not count twice
            group = part.group or digest
            split = split_of_group.get(group) or assign_split(seed, group, dataset, published)
            split = "test" if published and test and number < old else split
            if split == "train" or disjoint[i]:
                seen.add(digest)
                yield Row(start + i, split, group, digest, source)
        start += len(part.x)


def _join(arrays: Sequence[Array]) -> Array:
    """One array of all of them, in memory of its own that may be written to."""
    first = arrays[0]
    if len(arrays) == 1 and first.flags.c_contiguous and first.flags.owndata and first.flags.writeable:
        return first
    return np.concatenate(arrays)


def split_in_place(x: Array, columns: dict[str, Array], split_of: Array) -> dict[str, dict[str, Array]]:
    """The images and `columns` of each split, in order.

    `x` itself is put in the order of the splits, so that no image is in memory twice.
    """
    order = np.concatenate([np.flatnonzero(split_of == s) for s in SPLITS])
    _reorder(x, order)
    columns = {"x": x} | {name: values[order] for name, values in columns.items()}
    ends = np.cumsum([0, *((split_of == s).sum() for s in SPLITS)])
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
