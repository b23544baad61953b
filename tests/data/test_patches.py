"""Patches: cut by region, so that no pixel is in two splits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from raw_folders import images

from genfoundry.data.dataset import Dataset
from genfoundry.errors import UserError
from genfoundry.splits import SPLITS

Prepare = Callable[..., Dataset]
PATCH = {"size": 8, "stride": 4, "region": 20}


def picture(path: Path, height: int, width: int, blue: int = 0) -> None:
    """Red and green say where a pixel is."""
    y, x = np.indices((height, width))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.stack([y, x, np.full_like(x, blue)], -1).astype(np.uint8)).save(path)


def test_no_pixel_is_in_two_splits(tmp_path: Path, prepare: Prepare) -> None:
    for number, name in enumerate(("one", "two")):
        picture(tmp_path / "raw" / name / "a.png", 107, 250, number)
    data = prepare(images(patch=PATCH))
    held = {}
    for name in SPLITS:
        x = data.split(name).tensor  # (N, 3, 8, 8)
        assert x.shape[1:] == (3, 8, 8)
        held[name] = set(map(tuple, x.movedim(1, -1).reshape(-1, 3).tolist()))
    sizes = [len(pixels) for pixels in held.values()]
    assert min(sizes) >= 400
    assert len(set.union(*held.values())) == sum(sizes)
    share = data.meta["groups"]["train"] / sum(data.meta["groups"].values())
    assert sizes[0] > 0.85 * share * 2 * 107 * 250
    counts = pd.read_parquet(tmp_path / "prepared/describe.parquet").groupby("label").size()
    assert data.meta["names"] == ["one", "two"]
    assert min(counts) > 300


def test_patches_are_a_stride_apart(tmp_path: Path, prepare: Prepare) -> None:
    picture(tmp_path / "raw/a.png", 200, 200)
    data = prepare(images(patch=PATCH))
    regions = set()
    for name, stride in (("train", 4), ("val", 8), ("gate", 8), ("test", 8)):
        corners = {tuple(x[:2, 0, 0].tolist()) for x in data.split(name).tensor}
        own, inside = {(a // 20, b // 20) for a, b in corners}, range(0, 20 - 8 + 1, stride)
        assert corners == {(20 * i + a, 20 * j + b) for i, j in own for a in inside for b in inside}
        assert len(own) == data.meta["groups"][name] and not own & regions
        regions |= own
    assert len(regions) == 100


@pytest.mark.parametrize(("stride", "step"), [(3, 9), (5, 10), (8, 8), (11, 11)])
def test_held_out_patches_share_no_pixel(tmp_path: Path, prepare: Prepare, stride: int, step: int) -> None:
    picture(tmp_path / "raw/a.png", 250, 250)
    data = prepare(images(patch={"size": 8, "stride": stride, "region": 40}))
    for name in ("val", "gate", "test"):
        pixels = data.split(name).tensor[:, :2].movedim(1, -1).reshape(-1, 2).tolist()
        assert len(set(map(tuple, pixels))) == len(pixels)
        rows = {int(x[0, 0, 0]) % 41 for x in data.split(name).tensor if x[0, 0, 0] < 41}
        assert rows <= set(range(0, 41, step))


def test_a_picture_that_is_too_small(tmp_path: Path, prepare: Prepare) -> None:
    picture(tmp_path / "raw/a.png", 7, 30)
    with pytest.raises(UserError, match=r"a\.png: expected 8 pixels a side or more, .*, got 7 x 30"):
        prepare(images(patch=PATCH))
