"""Patches: cut by region, so that no pixel is in two splits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from raw_folders import images

from genfoundry.data.base import SPLITS, Dataset
from genfoundry.types import UserError

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
        x = data.split(name).whole  # (N, 3, 8, 8)
        assert x.shape[1:] == (3, 8, 8)
        held[name] = set(map(tuple, x.movedim(1, -1).reshape(-1, 3).tolist()))
    sizes = [len(pixels) for pixels in held.values()]
    assert min(sizes) >= 400
    assert len(set.union(*held.values())) == sum(sizes)
    assert sum(sizes) > 0.85 * 2 * 107 * 250
    counts = pd.read_parquet(tmp_path / "prepared/describe.parquet").groupby("label").size()
    assert data.meta["names"] == ["one", "two"]
    assert counts[0] == counts[1] > 500


def test_patches_are_a_stride_apart(tmp_path: Path, prepare: Prepare) -> None:
    picture(tmp_path / "raw/a.png", 200, 200)
    data = prepare(images(patch=PATCH))
    corners = {tuple(x[:2, 0, 0].tolist()) for name in SPLITS for x in data.split(name).whole}
    inside = range(0, 20 - 8 + 1, 4)
    assert corners == {(20 * i + a, 20 * j + b) for i in range(10) for j in range(10) for a in inside for b in inside}


def test_a_picture_that_is_too_small(tmp_path: Path, prepare: Prepare) -> None:
    picture(tmp_path / "raw/a.png", 7, 30)
    with pytest.raises(UserError, match=r"a\.png: 7 x 30 pixels; patches of 8"):
        prepare(images(patch=PATCH))
