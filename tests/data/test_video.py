"""Video: items that bounce as a ball would, the same bytes for the same seed, and no item in two splits."""

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
from genfoundry.data.transforms import moving_items
from genfoundry.errors import UserError
from genfoundry.splits import SPLITS

Prepare = Callable[..., Dataset]


def entry(**more: object) -> config.Dataset:
    how = {"item": 4, "threshold": 120, "speed": 2, "videos": {"train": 30, "val": 5, "gate": 5, "test": 5}}
    about = {"modality": "video", "raw": "fashion", "size": [11, 9], "context": 3, "window": 2}
    shares = config.Shares(val=0.2, gate=0.2, test=0.2)
    return config.Dataset.model_validate({**about, "moving": how, "split": shares, **more})


def write(raw: Path, size: int = 8, seed: int = 0) -> None:
    raw.mkdir(parents=True, exist_ok=True)
    for number, (stem, n) in enumerate((("train", 120), ("t10k", 30))):
        (raw / f"{stem}-images-idx3-ubyte.gz").write_bytes(idx_bytes(grey(n, 2 * seed + number, size)))


def test_a_place_is_thrown_back_as_a_ball_is() -> None:
    draw = np.random.default_rng(0)
    reach = np.array([7, 5])
    start, velocity = draw.integers(0, reach + 1, (40, 2)), draw.integers(-3, 4, (40, 2))
    found = moving_items.bounce(start, velocity, 30, reach)
    for k in range(40):
        place, step = start[k].copy(), velocity[k].copy()
        for t in range(30):
            assert (found[k, t] == place).all()
            place += step
            for axis in range(2):
                if not 0 <= place[axis] <= reach[axis]:
                    edge = 0 if place[axis] < 0 else reach[axis]
                    place[axis], step[axis] = 2 * edge - place[axis], -step[axis]


def test_an_item_as_large_as_the_frame_stays() -> None:
    assert not moving_items.bounce(np.zeros((1, 2), int), np.ones((1, 2), int), 9, np.array([0, 4]))[0, :, 0].any()


def test_items_are_whole_wherever_they_are_and_lie_over_one_another() -> None:
    draw, side, size = np.random.default_rng(1), 3, (8, 9)
    items = (draw.random((2, side, side)) < 0.7).astype(np.uint8)
    reach = np.array(size) - side
    places = moving_items.bounce(draw.integers(0, reach + 1, (2, 2)), np.array([[1, 2], [-2, 1]]), 40, reach)
    video = moving_items.draw_frames(items, places, size)[:, 0]
    apart = (np.abs(places[0] - places[1]) >= side).any(1)
    assert 0 < apart.sum() < 40
    mass = video.sum((1, 2))
    assert (mass[apart] == items.sum()).all()
    assert (mass[~apart] <= items.sum()).all() and (mass[~apart] < items.sum()).any()
    assert set(np.unique(video)) == {0, 1}
    for item, path in zip(items, places, strict=True):
        for frame, (top, left) in zip(video, path, strict=True):
            assert (frame[top : top + side, left : left + side] >= item).all()


def test_the_frames_of_a_data_set_keep_their_mass(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw")
    how = {**entry().moving.model_dump(), "items": 1}  # type: ignore[union-attr]
    whole = prepare(entry(moving=how)).split("train").tensor
    mass = whole.flatten(2).sum(2)
    assert (mass == mass[:, :1]).all() and (mass >= 2).all()
    assert (whole[:, 1:] != whole[:, :-1]).flatten(2).any(2).all(), "an item stood still"


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw")
    for seed, out in ((20, "a"), (20, "b"), (21, "c")):
        prepare(entry(), seed=seed, out=out)
    names = [f"{name}.safetensors" for name in SPLITS] + ["spec.json"]
    first, second, other = ([(tmp_path / out / name).read_bytes() for name in names] for out in "abc")
    assert first == second
    assert all(a != b for a, b in zip(first, other, strict=True))


def test_more_videos_begin_with_the_ones_before(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw")
    how = {**entry().moving.model_dump(), "videos": {"train": 50}}  # type: ignore[union-attr]
    few, many = prepare(entry(), out="few"), prepare(entry(moving=how), out="many")
    assert torch.equal(few.split("train").tensor, many.split("train").tensor[:30])


def test_no_item_is_in_two_splits(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw")
    data = prepare(entry())
    table = pd.read_parquet(data.folder / "describe.parquet")
    held = {split: {item for row in rows for item in row.split()} for split, rows in table.groupby("split")["source"]}
    assert held.keys() == set(SPLITS)
    assert sum(map(len, held.values())) == len(set.union(*held.values())) > 40
    assert (
        table.groupby("split").size().to_dict() == data.meta["counts"] == {"train": 30, "val": 5, "gate": 5, "test": 5}
    )


def test_an_item_that_looks_like_one_of_test_is_left_out_of_the_others(tmp_path: Path, prepare: Prepare) -> None:
    (tmp_path / "raw").mkdir()
    images = grey(60, 0, 8)
    for stem, part in (("train", images), ("t10k", images[:50])):  # ten are not of test
        (tmp_path / f"raw/{stem}-images-idx3-ubyte.gz").write_bytes(idx_bytes(part))
    with pytest.raises(UserError, match="expected an image for split"):
        prepare(entry(split=config.Shares(val=0.01, gate=0.01)))


def test_what_is_given_and_what_follows(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw")
    data = prepare(entry())
    split = data.split("val")
    batch = split.eval_batch(torch.tensor([3, 0]))
    assert batch.cond is not None
    assert (split.spec.shape, split.spec.cond_shape) == ((2, 1, 11, 9), (3, 1, 11, 9))
    assert (split.spec.levels, split.spec.cond_levels, len(split)) == (2, 2, 5)
    assert torch.equal(torch.cat([batch.cond, batch.x], 1), split.tensor[[3, 0]].long())
    with pytest.raises(UserError, match="levels"):
        data.split("val", levels=256)


def test_what_does_not_fit_is_one_line(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw", size=6)
    with pytest.raises(UserError, match=r"moving\.item divides, got 6 x 6 pixels and moving\.item: 4"):
        prepare(entry())
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox/film.mp4").write_bytes(b"")
    with pytest.raises(UserError, match=r"film\.mp4: expected a kind of file that"):
        prepare(entry())
