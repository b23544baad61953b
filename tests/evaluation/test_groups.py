"""Every item's independent unit, from the prepared data into the scores."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genfoundry.data.dataset import Subset
from genfoundry.data.splits.base import TensorSplit
from genfoundry.data.splits.images import ImageSplit
from genfoundry.evaluation.aggregate import aggregate
from genfoundry.evaluation.scores import GROUP, add_groups, group_ids
from genfoundry.types import Spec

SPEC = Spec((1, 4, 4), 256)


def images(n: int = 8, group: list[int] | None = None) -> ImageSplit:
    draw = torch.Generator().manual_seed(0)
    tensors = {
        "x": torch.randint(256, (n, 1, 4, 4), generator=draw, dtype=torch.uint8),
        "label": torch.full((n,), -1),
    }
    return ImageSplit("test", tensors | ({} if group is None else {"group": torch.tensor(group)}), SPEC)


def test_a_score_gets_the_groups_of_its_items() -> None:
    split = images(group=[5, 5, 5, 7, 7, 9, 9, 9])
    index = torch.tensor([7, 0, 3])
    found = add_groups({"nll": np.zeros(3), "codes": np.zeros((3, 2))}, split, index)
    assert found["nll" + GROUP].tolist() == found["codes" + GROUP].tolist() == [9, 5, 7]
    assert np.array_equal(group_ids(found, "nll"), [9, 5, 7])


def test_items_that_are_their_own_groups_need_none() -> None:
    assert set(add_groups({"nll": np.zeros(8)}, images())) == {"nll"}
    twice = add_groups({"nll": np.zeros(3)}, images(), torch.tensor([4, 1, 4]))
    assert np.array_equal(group_ids(twice, "nll"), [4, 1, 4])
    assert group_ids({"nll": np.zeros(3)}, "nll") is None


def test_a_score_of_other_items_is_refused_and_one_of_the_whole_has_no_groups() -> None:
    split = images(group=[0] * 4 + [1] * 4)
    with pytest.raises(ValueError, match="hits: expected a row for each of 8 items, got 5"):
        add_groups({"hits": np.zeros(5)}, split)
    assert set(add_groups({"nll": np.zeros(1)}, split)) == {"nll"}  # an archive's length, an item


def test_equal_images_are_one_group() -> None:
    split = images()
    split.tensor[5] = split.tensor[2]
    assert split.groups[5] == split.groups[2] and len(split.groups.unique()) == 7


def test_part_keeps_the_groups_of_its_items() -> None:
    split = images(group=[0, 0, 1, 1, 2, 2, 3, 3])
    part = Subset(split, 4)
    assert part.groups.tolist() == split.groups[part.index].tolist()
    assert TensorSplit("test", {"x": torch.zeros(3)}, SPEC).groups.tolist() == [0, 1, 2]


def test_groups_are_no_figure_of_their_own() -> None:
    scores = add_groups({"nll": np.arange(8.0), "told": np.ones(8)}, images(group=[0] * 4 + [1] * 4))
    for on_test in (False, True):
        found = aggregate(scores, 16, "images", on_test=on_test)
        assert "told" in found and not [name for name in found if name.endswith(GROUP)]
