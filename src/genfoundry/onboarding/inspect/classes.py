"""The classes that images were found to be of, in lines: a mistaken folder or label is to be seen at once."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

import numpy as np

from genfoundry.data.readers import class_labels, image_folder
from genfoundry.data.readers.arrays import Array, ImageSet
from genfoundry.data.readers.folder_layout import Layout

SHOWN = 20  # classes that get a line
TEST_KEPT = "the published test split is kept; the rest is spread over train, val and gate"


def describe_folder_classes(names: list[str], layout: Layout, what: str = "pictures") -> Iterator[str]:
    """How many pictures (or volumes) each class has, with two of its files' names, and how many have none."""
    label, test, classes = image_folder.label_paths(names, layout)
    if test.any():
        items = "images" if what == "pictures" else what
        yield f"{TEST_KEPT} ({int(test.sum())} {items}, e.g. {names[int(test.argmax())]})"
    if len(classes) > 1:
        yield f"classes: {len(classes)} (classes: {layout.rule})"
        yield from _lines(label, classes, names)
        yield from _alike(classes)
    if len(classes) == 1:
        yield f"no classes: all {what} lie in {classes[0]}"
    lost = np.flatnonzero(label < 0)
    if len(lost) and len(classes) > 1:
        yield f"  without a class: {len(lost)}, e.g. {_examples(lost, names)}"
    elif len(lost):
        yield "no classes: no folder names one"


def describe_array_classes(parts: Sequence[ImageSet]) -> Iterator[str]:
    """How many images each class has, what became of labels that are not 0..K-1, and how many have none."""
    if not any((part.label >= 0).any() for part in parts):
        return
    raw = np.concatenate([part.label for part in parts])
    words = class_labels.word_names(parts)
    numbers = class_labels.derive_numbering([p for p in parts if not p.names], None, bool(words))
    names = class_labels.unify(parts, (), None, words, "")
    label = np.concatenate([part.label for part in parts])
    if numbers.ignored:
        yield f"{int((raw == class_labels.IGNORED).sum())} images labelled 255 (ignored) stay without a label"
    if numbers.values:
        yield f"labels {class_labels.abbreviate(numbers.values)} are numbered 0 to {len(numbers.values) - 1}"
    count = int(label.max()) + 1
    yield f"classes: {count}"
    yield from _lines(label, names or tuple(map(str, range(count))), [])
    yield from _alike(names)
    if unlabelled := int((label < 0).sum()):
        yield f"  without a label: {unlabelled}"


def _lines(label: Array, classes: tuple[str, ...], names: list[str]) -> Iterator[str]:
    for number, name in list(enumerate(classes))[:SHOWN]:
        own = np.flatnonzero(label == number)
        yield f"  {name}: {len(own)}" + (f", e.g. {_examples(own, names)}" if names and len(own) else "")
    if len(classes) > SHOWN:
        yield f"  ... and {len(classes) - SHOWN} more, to {classes[-1]}"


def _alike(classes: tuple[str, ...]) -> Iterator[str]:
    """A line about classes whose names look the same but for capitals, or for how accents are encoded."""
    alike: dict[str, list[str]] = {}
    for name in classes:
        alike.setdefault(unicodedata.normalize("NFKC", name).casefold().strip(), []).append(name)
    for own in alike.values():
        if len(own) > 1:
            yield f"  {' and '.join(own)} are {len(own)} classes; give their folders or labels one name if they are one"


def _examples(at: Array, names: list[str]) -> str:
    return ", ".join(names[i] for i in at[:2])
