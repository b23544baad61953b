"""The images that the files of a folder hold, of every kind that is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np

from genfoundry import config
from genfoundry.config import LabelColumn
from genfoundry.data.readers import arrays, emoji_metadata, grey_csv, images, nifti, npz
from genfoundry.data.readers.arrays import Array, ImageSet
from genfoundry.data.readers.folder_layout import Layout, derive_layout, split_word
from genfoundry.data.readers.images import PLAIN, SUFFIXES, Form
from genfoundry.data.readers.listing import filter_suffixes, scan_folder
from genfoundry.data.readers.nifti import VOLUMES
from genfoundry.data.readers.patches import cut_patches
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


def read_images(folder: Path, form: Form = PLAIN, layout: Layout | None = None, *, apart: bool = False) -> Images:
    """Read every image below a folder.

    Args:
        folder: of the raw files, or an inbox.
        form: what images are brought to.
        layout: of an inbox, that of the data set.
        apart: whether each picture file is a part of its own.

    Raises:
        UserError: a file is damaged or not what its name says, or what a folder or a column means is ambiguous.
    """
    if form.metadata and layout is None:
        parts = emoji_metadata.read_emoji(folder, form)
        return Images(parts, Layout(names=parts[0].names if parts else ()))
    paths, inbox = scan_folder(folder).files, layout is not None
    pictures = filter_suffixes(paths, *SUFFIXES)
    parts, label = _read_arrays(paths, form, tables=not pictures, inbox=inbox)
    volumes = filter_suffixes(paths, *VOLUMES)
    names, volume_names = ([p.relative_to(folder).as_posix() for p in files] for files in (pictures, volumes))
    folders = {tuple(name.split("/")[:-1]) for name in names + volume_names}
    layout = layout or derive_layout(folders, folder, form.classes)
    if volume_names:
        parts += _read_slices(folder, volume_names, form, layout, inbox)
    for part in parts:
        part.x = images.convert_images(part.x, form, part.source)
    if form.patch:
        # One picture at a time, so that only patches stay in memory.
        uncut = _read_pictures_apart(pictures, names, form, layout, inbox)
        parts = list(_cut_patches(chain(parts, uncut), form.patch))
    elif apart:
        parts += _read_pictures_apart(pictures, names, form, layout, inbox)
    elif pictures:
        parts.append(_read_pictures(pictures, names, form, layout, inbox))
    return Images(parts, layout, label)


def _read_arrays(paths: list[Path], form: Form, tables: bool, inbox: bool) -> tuple[list[ImageSet], LabelColumn | None]:
    """The images of IDX, .npz and, with `tables`, CSV files: one beside pictures, or of words beside arrays, is a list.

    Nothing in an inbox is left out.
    """
    parts = list(arrays.read_idx_sets(filter_suffixes(paths, *IDX)))
    named = [(path, part) for path in filter_suffixes(paths, ".npz") for part in npz.read_npz(path)]
    label = form.label
    listed = filter_suffixes(paths, *TABLES) if tables else []
    for path in listed if inbox else _image_tables(listed, arrays=bool(parts or named)):
        part, column = grey_csv.read_grey_csv(path, form.label)
        label = label or column
        named.append((path, part))
    tests = [_is_test_file(path) for path, _ in named]
    for (_, part), test in zip(named, tests, strict=True):
        part.test = part.test or (test and not all(tests))  # mnist_test.csv beside mnist_train.csv
    return [part for part in (*parts, *(part for _, part in named)) if len(part.x)], label


def _is_test_file(path: Path) -> bool:
    return arrays.names_test_split(path.name.partition(".")[0]) or split_word(path.parent.name) == "test"


def image_files(paths: list[Path]) -> list[Path]:
    """The files that images are read from: tables only where no pictures are, and only those of grey values."""
    kinds = filter_suffixes(paths, *KINDS)
    if filter_suffixes(paths, *SUFFIXES):
        return kinds
    return kinds + _image_tables(filter_suffixes(paths, *TABLES), bool(kinds))


def _image_tables(tables: list[Path], arrays: bool) -> list[Path]:
    """Tables of grey values; all, each to be refused for what it is, where neither they nor `arrays` hold images."""
    if len(tables) == 1 and not arrays:
        return tables
    grey = [path for path in tables if grey_csv.is_grey(path)]
    return grey if grey or arrays else tables


def _read_pictures(paths: list[Path], names: list[str], form: Form, layout: Layout, inbox: bool) -> ImageSet:
    """All picture files as one part, decoded into one array.

    Raises:
        UserError: they differ in size or colour, and the form does not say to what they are brought.
    """
    label, test, classes = label_paths(names, layout, inbox)
    shapes: dict[tuple[int, ...], str] = {}
    x: Array | None = None
    for i, image in enumerate(images.read_pictures(paths, form)):
        if x is None:
            x = np.empty((len(paths), *image.shape), np.uint8)
        if image.shape == x.shape[1:]:
            x[i] = image
        shapes.setdefault(image.shape, names[i])
    require_one_shape(shapes)
    assert x is not None
    return ImageSet(x, label, test, names[0], files=names, names=classes)


def _read_slices(folder: Path, names: list[str], form: Form, layout: Layout, inbox: bool) -> Iterator[ImageSet]:
    """The slices of volumes: a folder names their class as it does a picture's; where none does, the plane is it."""
    label, test, classes = label_paths(names, layout, inbox)
    if labels_planes(layout) and not classes:
        return (replace(part, names=nifti.PLANES) for part in nifti.read_slices(folder, form.slices))
    return (replace(part, names=classes) for part in nifti.read_slices(folder, form.slices, label, test))


def labels_planes(layout: Layout) -> bool:
    """Whether slices of volumes are labelled by plane: no folder names a class, and the entry does not ask for none."""
    return not layout.names and layout.rule != "none"


def label_paths(names: list[str], layout: Layout, inbox: bool = False) -> tuple[Array, Array, tuple[str, ...]]:
    """Labels (N,), whether of a published test split (N,), and the classes, of pictures by their paths' names."""
    folders = [tuple(name.split("/")[:-1]) for name in names]
    places = {f: (layout.place_later(f), False) if inbox else layout.place(f) for f in set(folders)}
    classes = tuple(sorted({name for name, _ in places.values() if name is not None})) if inbox else layout.names
    number = {name: i for i, name in enumerate(classes)}
    label = [number[name] if (name := places[f][0]) is not None else -1 for f in folders]
    return np.array(label, np.int64), np.array([places[f][1] for f in folders], bool), classes


def _cut_patches(parts: Iterable[ImageSet], patch: config.Patch) -> Iterator[ImageSet]:
    """A part for each region of each image."""
    for part in parts:
        for image, label, test, source in zip(part.x, part.label, part.tests, part.sources, strict=True):
            for region, x, disjoint in cut_patches(image, patch, source):
                labels = np.full(len(x), label)
                yield ImageSet(x, labels, bool(test), source, region, names=part.names, disjoint=disjoint)


def _read_pictures_apart(
    paths: list[Path], names: list[str], form: Form, layout: Layout, inbox: bool
) -> Iterator[ImageSet]:
    """A part for each picture, decoded when it is asked for: their sizes may differ."""
    label, test, classes = label_paths(names, layout, inbox)
    for i, image in enumerate(images.read_pictures(paths, form)):
        yield ImageSet(image[None], label[i : i + 1], bool(test[i]), names[i], names=classes)


def require_one_shape(shapes: Mapping[tuple[int, ...], str]) -> None:
    """Refuse a mixture of shapes (C, H, W), each with a file that has it, and say all that has to be declared for it.

    Raises:
        UserError: there are two or more.
    """
    if len(shapes) < 2:
        return
    (first, first_file), (other, other_file) = list(shapes.items())[:2]
    colours, sizes = ({shape[:1] for shape in shapes}, {shape[1:] for shape in shapes})
    needed = ["colour: grey or colour: rgb"] * (len(colours) > 1) + ["size: 64 (or [height, width])"] * (len(sizes) > 1)
    raise UserError(
        f"{other_file}: expected images of {first} (C,H,W), as {first_file} has, got {other}; declare "
        f"{' and '.join(needed)} in the data set's entry"
    )
