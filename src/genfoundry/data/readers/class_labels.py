"""One numbering of the classes for all of a data set's files: 0..K-1, and -1 for what has no label."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from genfoundry.data.readers.arrays import Array, ImageSet
from genfoundry.errors import UserError

if TYPE_CHECKING:
    from genfoundry import config

IGNORED = 255  # of labels in a byte: what many tools write for "no class"
PUBLISHED = {  # names of the classes of data sets that are fetched by a name of their own
    "fashion": ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"),
    "digits": tuple("0123456789"),
}


def published_names(dataset: config.Dataset) -> tuple[str, ...]:
    """The names of the classes of a data set that is fetched by its name; () if none are known."""
    return PUBLISHED.get(dataset.raw, ()) if isinstance(dataset.raw, str) else ()


@dataclass(frozen=True)
class Numbering:
    """The files' own labels, sorted, and whether 255 stands for no label; () where labels are 0..K-1 already."""

    values: tuple[int, ...] = ()
    ignored: bool = False

    def number(self, label: Array, source: str) -> Array:
        """(N,) the classes' numbers of the files' labels.

        Raises:
            UserError: a label is none of the data set's.
        """
        if self.ignored:
            label = np.where(label == IGNORED, -1, label)
        if not self.values:
            return label
        values = np.array(self.values)
        at = np.searchsorted(values, label).clip(0, len(values) - 1)
        unknown = label[(values[at] != label) & (label != -1)]
        if len(unknown):
            shown = abbreviate(self.values)
            raise UserError(f"{source}: expected a label of {shown}, or -1 for none, got {unknown[0]}")
        return np.where(label == -1, -1, at)


def derive_numbering(parts: Sequence[ImageSet], declared: int | None, named: bool) -> Numbering:
    """How the labels of these parts become 0..K-1: as they are, or 1..K and labels with gaps numbered anew.

    Args:
        parts: what a data set consists of, without its inbox.
        declared: the number of classes that the entry expects; another number of labels is left as it is.
        named: whether the classes' names are known, so that a label is a place among them.
    """
    values = sorted({int(v) for part in parts for v in np.unique(part.label) if v >= 0})
    rest = [v for v in values if v != IGNORED]
    ignored = IGNORED in values and len(rest) > 1 and rest[0] in (0, 1) and rest == list(range(rest[0], rest[-1] + 1))
    ignored = ignored and rest[-1] < IGNORED - 1
    values = rest if ignored else values
    if named or values == list(range(len(values))) or declared not in (None, len(values)):
        return Numbering((), ignored)
    return Numbering(tuple(values), ignored)


def word_names(parts: Sequence[ImageSet]) -> tuple[str, ...]:
    """The classes that files name by words, sorted."""
    return tuple(sorted({name for part in parts for name in part.names}))


def _renumber(part: ImageSet, names: tuple[str, ...], where: object) -> None:
    """Number a part's classes as the data set does: an inbox may hold some of them only.

    Raises:
        UserError: a class is none of the data set's.
    """
    part.names = tuple(_match_accents(name, names) for name in part.names)
    if unknown := sorted(set(part.names) - set(names)):
        expected = f"one of {', '.join(names)}" if names else "no folder of a class, as in the raw folder"
        raise UserError(f"{where}: expected {expected}, got the new class {unknown[0]!r}")
    table = np.array([names.index(name) for name in part.names])
    part.label = np.where(part.label >= 0, table[part.label], -1)
    part.names = names


def _match_accents(name: str, names: tuple[str, ...]) -> str:
    """The class of that name as the data set encodes its accents: macOS takes them apart, others do not."""
    if name in names or name.isascii():
        return name
    same = [other for other in names if unicodedata.normalize("NFC", other) == unicodedata.normalize("NFC", name)]
    return same[0] if len(same) == 1 else name


def unify(
    old: Sequence[ImageSet], new: Sequence[ImageSet], declared: int | None, known: tuple[str, ...], where: object
) -> tuple[str, ...]:
    """Number the classes of all parts 0..K-1, and return their names; `new` ones came by the inbox `where`.

    Args:
        old: the parts of the raw files, whose classes are those of the data set.
        new: the parts of the inbox.
        declared: the number of classes that the entry expects.
        known: the names of the classes of a published data set.
        where: what a message about a new class names.

    Raises:
        UserError: a class or label of the inbox is none of the data set's.
    """
    names = word_names(old) or known
    numbering = derive_numbering([part for part in old if not part.names], declared, bool(names))
    for part in (*old, *new):
        if part.names:
            _renumber(part, names, where)
        else:
            part.label = numbering.number(part.label, part.source)
    return names or tuple(map(str, numbering.values))


def abbreviate(values: tuple[int, ...]) -> str:
    """The values in words, of many the first and the last."""
    return ", ".join(map(str, values)) if len(values) <= 12 else f"{values[0]}, {values[1]}, ..., {values[-1]}"
