"""Few labels: the draw is balanced, counted and the same for all; hidden labels are nowhere; the mixture is exact."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from raw_folders import images, text, write_idx

from genfoundry.config import Data
from genfoundry.data import label_subsets, loaders
from genfoundry.data.dataset import Dataset
from genfoundry.data.loaders import Loader
from genfoundry.errors import UserError
from genfoundry.splits import Split

Prepare = Callable[..., Dataset]


@pytest.fixture
def split(tmp_path: Path, prepare: Prepare) -> Split:
    write_idx(tmp_path / "raw")
    return prepare(images()).split("train")


def mixed(split: Split, batch: int = 8, key: str = "k", draw: int = 0, **data: float) -> Loader:
    made = Data.model_validate({"labels": 12, **data})
    return loaders.make_loader(split, made, batch, (key,), "fashion", draw)


@pytest.mark.parametrize("count", [3, 12, 13, 50])
def test_a_draw_is_balanced(split: Split, count: int) -> None:
    drawn = label_subsets.keep_labels(split, count, "fashion", 0).label
    sizes = drawn[drawn >= 0].bincount(minlength=3)
    assert sizes.sum() == count
    assert sizes.max() - sizes.min() <= 1


def test_a_draw_depends_on_data_set_number_and_repetition_alone(split: Split) -> None:
    """Not on the experiment's name: two models are compared on the same labels."""
    one, other = (mixed(split, key=name, labelled=share) for name, share in (("classifier", 1.0), ("ss", 0.5)))
    assert torch.equal(one.split.label, other.split.label)  # type: ignore[attr-defined]
    draws = [
        label_subsets.keep_labels(split, *how).label >= 0
        for how in ((12, "a", 0), (12, "a", 1), (12, "b", 0), (13, "a", 0))
    ]
    assert len({tuple(d.tolist()) for d in draws}) == 4


def test_hidden_labels_are_nowhere(split: Split) -> None:
    """Neither in what a model is handed whole (`begin`, `end`) nor in any batch; the split itself keeps them."""
    loader, known = mixed(split), label_subsets.keep_labels(split, 12, "fashion", 0).label >= 0
    held = loader.split
    everything = [
        held.label,
        held.eval_batch(torch.arange(len(held))).label,
        held.train_batch(torch.arange(len(held))).label,
    ]  # type: ignore[attr-defined]
    for found in everything:
        assert found is not None
        assert (found[~known] == -1).all()
        assert torch.equal(found[known], split.label[known])  # type: ignore[attr-defined]
    hidden = [t for t in vars(held).values() if isinstance(t, torch.Tensor) and t.shape == known.shape]
    assert len(hidden) == 1, "another tensor with a value an item: does it hold labels?"
    assert (split.label >= 0).all()  # type: ignore[attr-defined]


def test_a_model_is_told_no_count_of_labels_that_training_does_not_see(split: Split) -> None:
    """p(class) is the visible labels': of 12 hidden ones 4 a class, of a class left out none."""
    before = split.spec.class_counts
    assert mixed(split).split.spec.class_counts == (4, 4, 4) != before
    assert mixed(split).split.spec.class_shares == (1 / 3, 1 / 3, 1 / 3)
    left = loaders.make_loader(split, Data(without=(1,)), 8, ("k",), "fashion", 0).split
    assert left.spec.class_counts == (before[0], 0, before[2])
    assert left.spec.class_shares[1] == 0.0
    assert split.spec.class_counts == before
    assert loaders.make_loader(split, Data(), 8, ("k",), "fashion", 0).split.spec.class_counts == before


@pytest.mark.parametrize(("share", "first"), [(0.5, 4), (0.25, 2), (0.01, 1), (1.0, 8)])
def test_the_mixture_is_exact(split: Split, share: float, first: int) -> None:
    loader = mixed(split, labelled=share)
    for step in range(20):
        label = loader.batch("fit", step).label
        assert label is not None
        assert len(label) == 8
        assert ((label >= 0) == (torch.arange(8) < first)).all()


def test_every_item_comes_up_equally_often(split: Split) -> None:
    loader = mixed(split, labelled=0.625)  # 5 of 8, which does not divide 12
    for name, part, of in (("labelled", slice(0, 5), 12), ("others", slice(5, 8), split.positions - 12)):
        seen = torch.cat([loader.indices("fit", step)[part] for step in range(of)])
        counts = seen.bincount(minlength=split.positions)
        assert set(counts.tolist()) == {0, len(seen) // of}, name
        assert (counts > 0).sum() == of


def test_more_labels_in_a_batch_than_there_are(split: Split) -> None:
    counts = mixed(split, batch=32, labelled=1.0).indices("fit", 3).bincount()
    assert sorted(counts[counts > 0].tolist()) == [2] * 4 + [3] * 8


def test_indices_depend_on_nothing_else(split: Split) -> None:
    steps = list(range(40))
    forward = [mixed(split).indices("fit", s).tolist() for s in steps]
    one = mixed(split)
    torch.manual_seed(5)
    assert [one.indices("fit", s).tolist() for s in reversed(steps)] == forward[::-1]
    assert one.indices("fit", 0).tolist() != one.indices("prior", 0).tolist()
    assert one.indices("fit", 0).tolist() != mixed(split, key="other").indices("fit", 0).tolist()


def test_without_a_number_nothing_changes(split: Split) -> None:
    plain = loaders.make_loader(split, Data(), 8, ("k",), "fashion", 0)
    assert type(plain) is Loader
    assert plain.split is split


def test_what_cannot_be_drawn(tmp_path: Path, split: Split, prepare: Prepare) -> None:
    for count, says in ((2, "one or more for each of 3 classes, got 2"), (10_000, "expected 3334 items of class")):
        with pytest.raises(UserError, match=f"data.labels: .*{says}"):
            label_subsets.keep_labels(split, count, "fashion", 0)
    split.label[:] = -1  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="expected labels, got none"):
        label_subsets.keep_labels(split, 12, "fashion", 0)
    (tmp_path / "raw").rename(tmp_path / "old")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/a.txt").write_text("a cab\n" * 400 + "\n\n".join(f"bed {i}" for i in range(400)))
    with pytest.raises(UserError, match="expected labels, got none"):
        label_subsets.keep_labels(prepare(text(unit="line"), out="words").split("train"), 12, "shakespeare", 0)


def test_a_class_is_left_out_of_everything(split: Split) -> None:
    loader = loaders.make_loader(split, Data(without=(1,)), 8, ("k",), "fashion", 0)
    kept = split.label != 1  # type: ignore[attr-defined]
    assert len(loader.split) == loader.split.positions == int(kept.sum()) < len(split)
    assert torch.equal(loader.split.tensor, split.tensor[kept])
    for step in range(3):
        assert (loader.batch("fit", step).label != 1).all()  # type: ignore[operator]


@pytest.mark.parametrize(("classes", "says"), [((3,), "numbers of its 3 classes"), ((0, 1, 2), "leave out fewer")])
def test_classes_that_cannot_be_left_out(split: Split, classes: tuple[int, ...], says: str) -> None:
    with pytest.raises(UserError, match=says):
        loaders.make_loader(split, Data(without=classes), 8, ("k",), "fashion", 0)
