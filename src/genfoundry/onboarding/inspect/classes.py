"""Classes of images in lines of text, so that a mistaken folder or label is seen at once."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genfoundry.data.readers import class_labels, image_folder
from genfoundry.data.readers.arrays import Array, ImageSet
from genfoundry.data.readers.folder_layout import Layout
from genfoundry.data.readers.folder_layout import derive_layout as derive_folder_layout

SHOWN = 20  # classes that get a line
TEST_KEPT = "the published test split is kept; the rest is spread over train, val and gate"


def derive_layout(folder: Path, paths: list[Path], given: Mapping[str, Any]) -> tuple[list[str], Layout]:
    """The names of files relative to their folder, and which of their folders name classes and splits."""
    names = [path.relative_to(folder).as_posix() for path in paths]
    return names, derive_folder_layout({tuple(name.split("/")[:-1]) for name in names}, folder, given.get("classes"))


def describe_folder_classes(names: list[str], layout: Layout, what: str = "pictures") -> Iterator[str]:
    """A line for each class with its number of pictures (or volumes) and two names, and for those without one."""
    label, test, classes = image_folder.label_paths(names, layout)
    if test.any():
        items = "images" if what == "pictures" else what
        yield f"{TEST_KEPT} ({int(test.sum())} {items}, e.g. {names[int(test.argmax())]})"
    if len(classes) > 1:
        yield f"classes: {len(classes)} (classes: {layout.rule})"
        yield from _count_classes(label, classes, names)
    if len(classes) == 1:
        yield f"no classes: all {what} lie in {classes[0]}"
    unlabelled = np.flatnonzero(label < 0)
    if len(unlabelled) and len(classes) > 1:
        yield f"  without a class: {len(unlabelled)}, e.g. {_examples(unlabelled, names)}"
    elif len(unlabelled):
        yield "no classes: no folder names one"


def describe_array_classes(parts: Sequence[ImageSet]) -> Iterator[str]:
    """A line for each class with its number of images, and for labels that are not 0..K-1 or are missing."""
    if not any((part.label >= 0).any() for part in parts):
        return
    raw = np.concatenate([part.label for part in parts])
    words = class_labels.word_names(parts)
    numbers = class_labels.derive_numbering([p for p in parts if not p.names], None, bool(words))
    names = class_labels.unify(parts, (), None, words, "")  # changes the labels of `parts`
    label = np.concatenate([part.label for part in parts])
    if numbers.ignored:
        yield f"{int((raw == class_labels.IGNORED).sum())} images labelled 255 (ignored) stay without a label"
    if numbers.values:
        yield f"labels {class_labels.abbreviate(numbers.values)} are numbered 0 to {len(numbers.values) - 1}"
    count = int(label.max()) + 1
    yield f"classes: {count}"
    yield from _count_classes(label, names or tuple(map(str, range(count))), [])
    if unlabelled := int((label < 0).sum()):
        yield f"  without a label: {unlabelled}"


def _count_classes(label: Array, classes: tuple[str, ...], names: list[str]) -> Iterator[str]:
    for number, name in list(enumerate(classes))[:SHOWN]:
        items = np.flatnonzero(label == number)
        yield f"  {name}: {len(items)}" + (f", e.g. {_examples(items, names)}" if names and len(items) else "")
    if len(classes) > SHOWN:
        yield f"  ... and {len(classes) - SHOWN} more, to {classes[-1]}"
    alike: dict[str, list[str]] = {}  # but for capitals, or for how accents are encoded
    for name in classes:
        alike.setdefault(unicodedata.normalize("NFKC", name).casefold().strip(), []).append(name)
    for same in alike.values():
        if len(same) > 1:
            joined = " and ".join(same)
            yield f"  {joined} are {len(same)} classes; give their folders or labels one name if they are one"


def _examples(at: Array, names: list[str]) -> str:
    return ", ".join(names[i] for i in at[:2])
