"""Tables say what their items are short of; a tuning asks for no more labels than its task has."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from genfoundry.data.label_subsets import select_trial_items
from genfoundry.data.splits.images import ImageSplit
from genfoundry.evaluation.remarks import list_remarks
from genfoundry.reporting import leaderboard
from genfoundry.types import Spec

SPEC = Spec((1, 2, 2), 17, classes=3)


def split(n: int, labelled: int, name: str = "val") -> ImageSplit:
    x = (torch.arange(n)[:, None] // torch.tensor([1, 17, 289, 4913]) % 17).view(n, 1, 2, 2)  # all differ
    label = torch.where(torch.arange(n) < labelled, torch.arange(n) % 3, -1)
    return ImageSplit(name, {"x": x.to(torch.uint8), "label": label}, SPEC)


def grouped(n: int, groups: int) -> Any:
    one = split(n, n)
    one.groups = torch.arange(n) * groups // n  # type: ignore[attr-defined, unused-ignore]
    return one


def test_few_groups_are_said() -> None:
    held = {"val": grouped(900, 4), "gate": grouped(900, 30), "test": grouped(800, 1)}
    assert list(list_remarks(held, None)) == ["few independent groups: 4 in val, 1 in test"]
    assert not list(list_remarks({"val": grouped(900, 30)}, None))


def test_more_labels_to_rank_on_than_to_train_on_are_said() -> None:
    held = {"val": split(3000, 3000)}
    assert list(list_remarks(held, 100)) == [
        "ranked on 3,000 labelled items of val, 30 times the 100 labels of training"
    ]
    assert not list(list_remarks(held, 5000))
    assert not list(list_remarks(held, None))


def test_remarks_stand_below_the_table() -> None:
    table = leaderboard.get_table({}, {"dataset": "d", "levels": 17, "binarise": None, "data": "e" * 64})
    board = {"tables": [leaderboard.order({**table, "remarks": ["few independent groups: 1 in test"]})]}
    assert "few independent groups: 1 in test" in leaderboard.markdown(board)


@pytest.mark.parametrize(("items", "labels", "asked"), [(1000, 100, 100), (50, 100, 50), (None, 100, 100)])
def test_a_trial_asks_for_no_more_labels_than_its_task_has(items: int | None, labels: int, asked: int) -> None:
    part = select_trial_items(split(3000, 900), items, labels)
    assert len(part) == asked
    assert (part.eval_batch(torch.arange(asked)).label >= 0).all()


def test_a_trial_of_another_task_is_measured_on_its_items() -> None:
    assert len(select_trial_items(split(3000, 900), 1000, None)) == 1000
    assert len(select_trial_items(split(3000, 900))) == 3000
    assert len(select_trial_items(split(30, 0), 1000, 100)) == 30
