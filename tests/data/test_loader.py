"""The Loader: which positions a step sees is a function of (key, phase, step) alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from raw_folders import images, write_idx

from genfoundry.data.dataset import Dataset, Subset
from genfoundry.data.iterate import iter_batches
from genfoundry.data.loaders import Loader
from genfoundry.data.splits import text
from genfoundry.errors import UserError
from genfoundry.splits import Split
from genfoundry.types import Spec

Prepare = Callable[..., Dataset]


@pytest.fixture
def split(tmp_path: Path, prepare: Prepare) -> Split:
    write_idx(tmp_path / "raw")
    return prepare(images()).split("train")


def test_indices_depend_on_nothing_else(split: Split) -> None:
    steps = list(range(40))
    forward = [Loader(split, 8, ("k",)).indices("fit", s).tolist() for s in steps]
    one = Loader(split, 8, ("k",))
    torch.manual_seed(5)
    assert [one.indices("fit", s).tolist() for s in reversed(steps)] == forward[::-1]
    assert one.indices("fit", 0).tolist() != one.indices("prior", 0).tolist()
    assert one.indices("fit", 0).tolist() != Loader(split, 8, ("other",)).indices("fit", 0).tolist()


def test_an_epoch_sees_no_position_twice(split: Split) -> None:
    one = Loader(split, 8, ("k",))
    each = split.positions // 8
    seen = torch.cat([one.indices("fit", s) for s in range(each)])
    assert len(seen.unique()) == len(seen) == each * 8


def test_evaluation_sees_every_item_once_in_order(split: Split) -> None:
    x = torch.cat([b.x for b in iter_batches(split, size=7)])
    assert (x == split.tensor.long()).all()


def test_an_unknown_split(tmp_path: Path, split: Split) -> None:
    with pytest.raises(UserError, match="train, val, gate, test"):
        Dataset(tmp_path / "prepared").split("holdout")


def test_an_unwritable_folder(tmp_path: Path, prepare: Prepare) -> None:
    write_idx(tmp_path / "raw")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="make the folder writable"):
        prepare(images(), out="file/prepared")


def test_a_part_is_some_items_and_always_the_same(split: Split) -> None:
    some, same = Subset(split, 7), Subset(split, 7)
    whole = torch.cat([b.x for b in iter_batches(split)]).flatten(1)
    found = torch.cat([b.x for b in iter_batches(some, size=3)]).flatten(1)
    assert len(some) == len(found) == 7 < len(split)
    assert torch.equal(found, torch.cat([b.x for b in iter_batches(same)]).flatten(1))
    assert torch.equal(found, whole[some.index])
    assert len(some.index.unique()) == 7 and some.index.tolist() != list(range(7))
    assert torch.equal(torch.cat([b.x for b in iter_batches(Subset(split, len(split)))]).flatten(1), whole)


def test_a_part_of_a_stream_goes_on_from_item_to_item() -> None:
    stream = text.TextSplit("val", {"x": torch.arange(40, dtype=torch.uint8), "start": torch.zeros(1)}, Spec((4,), 40))
    assert torch.cat([b.x for b in iter_batches(Subset(stream, 3))]).flatten().tolist() == list(range(12))
