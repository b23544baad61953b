"""The images that the files of a folder hold, of every kind that is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np

from genfoundry import config
from genfoundry.config import LabelColumn
from genfoundry.data.readers import arrays, grey_csv, images, nifti, npz, parallel_decoding
from genfoundry.data.readers.arrays import Array, ImageSet
from genfoundry.data.readers.folder_layout import Layout, derive, split_word
from genfoundry.data.readers.images import PLAIN, SUFFIXES, Form
from genfoundry.data.readers.listing import of_kind, scan
from genfoundry.data.readers.nifti import VOLUMES
from genfoundry.data.transforms.patches import cut
from genfoundry.errors import UserError

IDX, TABLES = ("-ubyte", "-ubyte.gz"), (".csv", ".csv.gz")
ARRAYS = (".npz", *IDX)
KINDS = (*SUFFIXES, *ARRAYS, *VOLUMES)  # and tables, where no pictures are: else they are lists


@dataclass(frozen=True)
class Images:
    """What a folder holds: its parts, how its folders name classes, and where its tables have the label."""

    parts: list[ImageSet]
    layout: Layout
    label: LabelColumn | None = None


def read(folder: Path, form: Form = PLAIN, layout: Layout | None = None, *, apart: bool = False) -> Images:
    """Every image below a folder; of an inbox, `layout` is that of the data set. `apart`: a part a picture file.

    Raises:
        UserError: a file is damaged or not what its name says, or what a folder or a column means is ambiguous.
    """
    paths = scan(folder).files
    shown = of_kind(paths, *SUFFIXES)
    parts, label = _arrays(paths, form, tables=not shown, later=layout is not None)
    names, bodies = ([p.relative_to(folder).as_posix() for p in own] for own in (shown, of_kind(paths, *VOLUMES)))
    own = layout or derive({tuple(name.split("/")[:-1]) for name in names + bodies}, folder, form.classes)
    if bodies:
        parts += _slices(folder, bodies, form, own, layout is not None)
    for part in parts:
        part.x = images.formed(part.x, form, part.source)
    how = shown, names, form, own, layout is not None
    if form.patch:
        parts = list(_patches(chain(parts, _apart(*how)), form.patch))
    elif apart:
        parts += _apart(*how)
    elif shown:
        parts.append(_pictures(*how))
    return Images(parts, own, label)


def _arrays(paths: list[Path], form: Form, tables: bool, later: bool) -> tuple[list[ImageSet], LabelColumn | None]:
    """The images of IDX, .npz and, with `tables`, CSV files: one beside pictures, or of words beside arrays, is a list.

    `later`: they came by the inbox, where nothing is left out.
    """
    parts = list(arrays.idx_parts(of_kind(paths, *IDX)))
    own = [(path, part) for path in of_kind(paths, ".npz") for part in npz.read(path)]
    label = form.label
    listed = of_kind(paths, *TABLES) if tables else []
    for path in listed if later else _images_in(listed, arrays=bool(parts or own)):
        part, column = grey_csv.read(path, form.label)
        label = label or column
        own.append((path, part))
    tests = [_is_of_test(path) for path, _ in own]
    for (_, part), test in zip(own, tests, strict=True):
        part.test = part.test or (test and not all(tests))  # mnist_test.csv beside mnist_train.csv
    return [part for part in (*parts, *(part for _, part in own)) if len(part.x)], label


def _is_of_test(path: Path) -> bool:
    return arrays.is_test(path.name.partition(".")[0]) or split_word(path.parent.name) == "test"


def used(paths: list[Path]) -> list[Path]:
    """The files that images are read from: tables only where no pictures are, and only those of grey values."""
    own = of_kind(paths, *KINDS)
    return own if of_kind(paths, *SUFFIXES) else own + _images_in(of_kind(paths, *TABLES), bool(own))


def _images_in(tables: list[Path], arrays: bool) -> list[Path]:
    """Tables of grey values; all, each to be refused for what it is, where neither they nor `arrays` hold images."""
    if len(tables) == 1 and not arrays:
        return tables
    grey = [path for path in tables if grey_csv.is_grey(path)]
    return grey if grey or arrays else tables


def _pictures(paths: list[Path], names: list[str], form: Form, layout: Layout, later: bool) -> ImageSet:
    """All picture files as one part, decoded into one array.

    Raises:
        UserError: they differ in size or colour, and the form does not say to what they are brought.
    """
    label, test, classes = place(names, layout, later)
    shapes: dict[tuple[int, ...], str] = {}
    x: Array | None = None
    for i, image in enumerate(parallel_decoding.read(paths, form)):
        if x is None:
            x = np.empty((len(paths), *image.shape), np.uint8)
        if image.shape == x.shape[1:]:
            x[i] = image
        shapes.setdefault(image.shape, names[i])
    require_one_shape(shapes)
    assert x is not None
    return ImageSet(x, label, test, names[0], files=names, names=classes)


def _slices(folder: Path, names: list[str], form: Form, layout: Layout, later: bool) -> Iterator[ImageSet]:
    """The slices of volumes: a folder names their class as it does a picture's; where none does, the plane is it."""
    label, test, classes = place(names, layout, later)
    if by_plane(layout) and not classes:
        return (replace(part, names=nifti.PLANES) for part in nifti.parts(folder, form.slices))
    return (replace(part, names=classes) for part in nifti.parts(folder, form.slices, label, test))


def by_plane(layout: Layout) -> bool:
    """Whether slices of volumes are told apart by their planes: no folder names a class, and nobody asked for none."""
    return not layout.names and layout.rule != "none"


def place(names: list[str], layout: Layout, later: bool = False) -> tuple[Array, Array, tuple[str, ...]]:
    """Labels (N,), whether of a published test split (N,), and the classes, of pictures by their paths' names.

    `later`: they came by the inbox.
    """
    folders = [tuple(name.split("/")[:-1]) for name in names]
    places = {f: (layout.place_later(f), False) if later else layout.place(f) for f in set(folders)}
    classes = tuple(sorted({name for name, _ in places.values() if name is not None})) if later else layout.names
    number = {name: i for i, name in enumerate(classes)}
    label = [number[name] if (name := places[f][0]) is not None else -1 for f in folders]
    return np.array(label, np.int64), np.array([places[f][1] for f in folders], bool), classes


def _patches(parts: Iterable[ImageSet], patch: config.Patch) -> Iterator[ImageSet]:
    """A part a region of each image."""
    for part in parts:
        for image, label, test, source in zip(part.x, part.label, part.tests, part.sources, strict=True):
            for region, x, disjoint in cut(image, patch, source):
                yield ImageSet(
                    x, np.full(len(x), label), bool(test), source, region, names=part.names, disjoint=disjoint
                )


def _apart(paths: list[Path], names: list[str], form: Form, layout: Layout, later: bool) -> Iterator[ImageSet]:
    """A part a picture, one at a time: their sizes may differ."""
    label, test, classes = place(names, layout, later)
    for i, image in enumerate(parallel_decoding.read(paths, form)):
        yield ImageSet(image[None], label[i : i + 1], bool(test[i]), names[i], names=classes)


def require_one_shape(shapes: Mapping[tuple[int, ...], str]) -> None:
    """Refuse a mixture of shapes (C, H, W), each with a file that has it, and say all that has to be declared for it.

    Raises:
        UserError: there are two or more.
    """
    if len(shapes) < 2:
        return
    (first, one), (other, another) = list(shapes.items())[:2]
    colours, sizes = ({shape[:1] for shape in shapes}, {shape[1:] for shape in shapes})
    needed = ["colour: grey or colour: rgb"] * (len(colours) > 1) + ["size: 64 (or [height, width])"] * (len(sizes) > 1)
    raise UserError(
        f"{another}: images of {other} (C,H,W), but {one} has {first}; declare {' and '.join(needed)} in the data "
        "set's entry"
    )
