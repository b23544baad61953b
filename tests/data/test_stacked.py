"""Stacked images: channels are images of their own split, classes combinations, and held-out groups share nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from raw_folders import grey, idx_bytes

from genfoundry import config
from genfoundry.data.dataset import Dataset
from genfoundry.data.transforms.stacked_images import divide_into_blocks
from genfoundry.errors import UserError
from genfoundry.splits import HELD_OUT, SPLITS

Prepare = Callable[..., Dataset]
COUNTS = {"train": 54, "val": 27, "gate": 27, "test": 54}


def entry(**more: object) -> config.Dataset:
    about = {"modality": "images", "raw": {"path": "mine"}, "split": {"val": 0.2, "gate": 0.2, "test": 0.2}}
    return config.Dataset.model_validate({**about, "stack": {"images": COUNTS}, **more})


def write(raw: Path, classes: int = 3, n: int = 150) -> None:
    """Images that tell their class by their first value."""
    raw.mkdir()
    x, label = grey(n), (np.arange(n) % classes).astype(np.uint8)
    x[:, 0, 0] = label
    (raw / "train-images-idx3-ubyte.gz").write_bytes(idx_bytes(x))
    (raw / "train-labels-idx1-ubyte.gz").write_bytes(idx_bytes(label))


def channels(data: Dataset, name: str) -> list[set[bytes]]:
    """Of each image the grey ones in it."""
    return [{channel.tobytes() for channel in image.numpy()} for image in data.split(name).tensor]


def test_a_class_is_the_combination_of_the_channels_and_all_are_as_frequent(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw")
    data = prepare(entry())
    assert data.spec.shape == (3, 4, 4) and data.spec.classes == 27 and set(data.spec.class_counts) == {2}
    for split in map(data.split, SPLITS):
        shown = (split.tensor[:, :, 0, 0].long() * torch.tensor([9, 3, 1])).sum(1)
        assert split.label.tolist() == shown.tolist()  # type: ignore[attr-defined]
        assert len(split) == COUNTS[split.name]


def test_no_grey_image_is_in_two_splits_or_in_two_held_out_groups(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw")
    data = prepare(entry())
    of_split = [set[bytes]().union(*channels(data, name)) for name in SPLITS]
    assert sum(map(len, of_split)) == len(set[bytes]().union(*of_split))
    for name in HELD_OUT:
        shown, groups = channels(data, name), data.split(name).groups.tolist()
        of_group = [set[bytes]().union(*(s for s, g in zip(shown, groups, strict=True) if g == group))
                    for group in set(groups)]  # fmt: skip
        assert len(of_group) > 1 and sum(map(len, of_group)) == len(set[bytes]().union(*of_group))
    table = pd.read_parquet(tmp_path / "prepared" / "describe.parquet")
    assert len(table) == sum(COUNTS.values()) and (table["source"].str.split().map(len) == 3).all()


def test_the_same_seed_makes_the_same_images(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw")
    first, again, other = prepare(entry()), prepare(entry(), out="again"), prepare(entry(), seed=21, out="other")
    assert first.meta["digest"] == again.meta["digest"] != other.meta["digest"]


def test_blocks_hold_two_of_every_class_or_there_is_one() -> None:
    rng = np.random.default_rng(0)
    blocks = divide_into_blocks(np.repeat(np.arange(3), (7, 9, 30)), 3, rng, apart=True)
    assert len(blocks) == 3 and min(len(places) for block in blocks for places in block) == 2
    assert sorted(np.concatenate([places for block in blocks for places in block])) == list(range(46))
    assert len(divide_into_blocks(np.arange(3), 3, rng, apart=True)) == 1


@pytest.mark.parametrize(
    ("more", "classes", "words"),
    [
        ({}, 1, "expected grey images (1, H, W) of 2 classes or more, got (1, 4, 4) of 0"),
        ({"colour": "rgb"}, 3, "got (3, 4, 4) of 3; declare colour: grey"),
        ({}, 40, "stack: expected an image of every class 0 to 39, got none of class"),
    ],
)
def test_images_that_cannot_be_stacked(
    tmp_path: Path, prepare: Prepare, more: dict[str, str], classes: int, words: str
) -> None:
    write(tmp_path / "raw", classes)
    with pytest.raises(UserError, match="stack") as caught:
        prepare(entry(**more))
    assert words in str(caught.value)
