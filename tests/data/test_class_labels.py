"""Labels from 1, with gaps, 255 for none, and words: one numbering of all files, and nothing outside it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from raw_folders import grey

from genfoundry.data.readers.arrays import ImageSet
from genfoundry.data.readers.class_labels import unify
from genfoundry.errors import UserError


def part(*labels: int, names: tuple[str, ...] = ()) -> ImageSet:
    return ImageSet(grey(len(labels))[:, None], np.array(labels), False, "a.npz", names=names)


def numbered(
    old: list[ImageSet], new: Sequence[ImageSet] = (), declared: int | None = None
) -> tuple[list[list[int]], tuple]:
    names = unify(old, new, declared, (), "inbox")
    return [p.label.tolist() for p in (*old, *new)], names


def test_labels_from_0_stay_as_they_are() -> None:
    assert numbered([part(2, 0, 1, -1)]) == ([[2, 0, 1, -1]], ())


@pytest.mark.parametrize("labels", [(1, 2, 3), (0, 2, 5), (1000, 7, 2_000_000)])
def test_other_labels_are_numbered_anew(labels: tuple[int, ...]) -> None:
    own = sorted(labels)
    for declared in (None, 3):
        found, names = numbered([part(*labels, -1)], [part(own[2])], declared)
        assert found == [[own.index(v) for v in labels] + [-1], [2]]
        assert names == tuple(map(str, own))
    with pytest.raises(
        UserError, match=rf"a.npz: expected a label of {own[0]}, {own[1]}, {own[2]}, or -1 for none, got 4"
    ):
        numbered([part(*labels)], [part(4)])


def test_a_declared_number_of_classes_keeps_a_gap() -> None:
    assert numbered([part(0, 2, 3)], declared=10) == ([[0, 2, 3]], ())


def test_255_is_no_class_where_it_follows_none() -> None:
    assert numbered([part(0, 1, 255)]) == ([[0, 1, -1]], ())
    assert numbered([part(1, 2, 255)]) == ([[0, 1, -1]], ("1", "2"))
    assert numbered([part(0, 255)]) == ([[0, 1]], ("0", "255"))  # black and white: two classes
    assert numbered([part(*range(256))])[0] == [list(range(256))]


def test_words_are_shared_by_all_files() -> None:
    old = [part(0, 1, names=("cat", "dog")), part(0, names=("dog",))]
    assert numbered(old, [part(0, -1, names=("dog",))]) == ([[0, 1], [1], [1, -1]], ("cat", "dog"))
    with pytest.raises(UserError, match="inbox: expected one of cat, dog, got the new class 'cow'"):
        numbered([part(0, 1, names=("cat", "dog"))], [part(0, names=("cow",))])


def test_a_class_of_the_inbox_is_known_however_its_accents_are_encoded() -> None:
    old = part(0, 1, names=("\u00c4pfel", "Birnen"))
    assert numbered([old], [part(0, names=("A\u0308pfel",))])[0][1] == [1]
