"""Images: every kind of file, splits that do not move, levels, and every bad file named."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from raw_folders import grey, idx_bytes, images, write_idx

from genfoundry.data.dataset import Dataset
from genfoundry.errors import UserError

Prepare = Callable[..., Dataset]


def test_the_published_test_split_is_kept(tmp_path: Path, prepare: Prepare) -> None:
    write_idx(tmp_path / "raw")
    data = prepare(images())
    assert (data.split("test").tensor[:, 0].numpy() == grey(20, 1)).all()
    assert sum(data.meta["counts"].values()) == 220
    assert data.spec.shape == (1, 4, 4)
    assert data.spec.levels == 256
    assert data.spec.classes == 3


def test_no_item_moves_when_data_arrive(tmp_path: Path, prepare: Prepare) -> None:
    write_idx(tmp_path / "raw")
    prepare(images())
    before = pd.read_parquet(tmp_path / "prepared/describe.parquet").set_index("digest")["split"]
    (tmp_path / "inbox").mkdir()
    old = grey(200)[:5]
    np.savez(tmp_path / "inbox/new.npz", images=np.concatenate([grey(100, 9), old]), labels=np.zeros(105, np.int64))
    prepare(images())
    after = pd.read_parquet(tmp_path / "prepared/describe.parquet").set_index("digest")["split"]
    assert len(after) == len(before) + 100  # what was there already is not added again
    assert (after[before.index] == before).all()
    assert set(after[~after.index.isin(before.index)]) == {"train", "val", "gate"}  # never a published test


def test_prepared_twice_gives_the_same_bytes(tmp_path: Path, prepare: Prepare) -> None:
    write_idx(tmp_path / "raw")
    prepare(images())
    prepare(images(), out="again")
    files = sorted(p.name for p in (tmp_path / "prepared").iterdir())
    assert len(files) == 6
    assert all((tmp_path / "prepared" / f).read_bytes() == (tmp_path / "again" / f).read_bytes() for f in files)


def test_the_description(tmp_path: Path, prepare: Prepare) -> None:
    write_idx(tmp_path / "raw")
    data = prepare(images())
    rows = pd.read_parquet(tmp_path / "prepared/describe.parquet")
    x = data.split("test").tensor.numpy().reshape(20, -1)
    rows = rows[rows["split"] == "test"]
    for column, want in {"min": x.min(1), "max": x.max(1), "mean": x.mean(1), "spread": x.std(1)}.items():
        np.testing.assert_allclose(rows[column], want, rtol=1e-5)
    assert rows["distinct"].tolist() == [len(set(r.tolist())) for r in x]


def test_levels_and_binarisation(tmp_path: Path, prepare: Prepare) -> None:
    write_idx(tmp_path / "raw")
    data = prepare(images())
    index = torch.arange(20)
    native = data.split("test").eval_batch(index).x
    assert (data.split("test", 8).eval_batch(index).x == native * 8 // 256).all()
    assert (data.split("test", 2, "threshold").eval_batch(index).x == (native >= 128)).all()
    one = data.split("test", 2, "dynamic")
    assert one.spec.levels == 2
    assert (one.eval_batch(index).x == data.split("test", 2, "dynamic").eval_batch(index.flip(0)).x.flip(0)).all()
    drawn = torch.stack([one.train_batch(index).x for _ in range(400)]).double().mean(0)
    assert (drawn - native / 255).abs().max() < 0.15
    with pytest.raises(UserError, match="256"):
        data.split("test", 300)


def test_a_folder_a_class(tmp_path: Path, prepare: Prepare) -> None:
    for name, seed in (("cat", 0), ("dog", 1)):
        (tmp_path / "raw" / name).mkdir(parents=True)
        for i, x in enumerate(grey(60, seed)):
            Image.fromarray(x).save(tmp_path / "raw" / name / f"{i}.png")
    (tmp_path / "inbox/dog").mkdir(parents=True)
    Image.fromarray(grey(1, 5)[0]).save(tmp_path / "inbox/dog/new.png")
    data = prepare(images())
    assert data.meta["names"] == ["cat", "dog"]
    rows = pd.read_parquet(tmp_path / "prepared/describe.parquet")
    assert rows["label"].tolist().count(1) == 61
    (tmp_path / "inbox/cow").mkdir()
    Image.fromarray(grey(1, 6)[0]).save(tmp_path / "inbox/cow/new.png")
    with pytest.raises(UserError, match="expected one of cat, dog, got the new class 'cow'"):
        prepare(images())


def test_mixed_sizes(tmp_path: Path, prepare: Prepare) -> None:
    write_idx(tmp_path / "raw")
    (tmp_path / "inbox").mkdir()
    np.savez(tmp_path / "inbox/big.npz", images=grey(3, size=5))
    with pytest.raises(UserError, match=r"big.npz: expected images of \(1, 4, 4\).*got \(1, 5, 5\)"):
        prepare(images())


@pytest.mark.parametrize("label", [3, -2])
def test_a_label_outside_the_classes(tmp_path: Path, prepare: Prepare, label: int) -> None:
    write_idx(tmp_path / "raw")
    (tmp_path / "inbox").mkdir()
    np.savez(tmp_path / "inbox/bad.npz", images=grey(1, 9), labels=np.array([label]))
    with pytest.raises(UserError, match=f"bad.npz: expected a label from 0 to 2 .*, got {label}"):
        prepare(images())


def test_wrong_magic(tmp_path: Path, prepare: Prepare) -> None:
    write_idx(tmp_path / "raw")
    path = tmp_path / "raw/train-images-idx3-ubyte.gz"
    path.write_bytes(idx_bytes(grey(4), magic=0x0D03))
    with pytest.raises(UserError, match=r"train-images.*magic number 2051, got 3331"):
        prepare(images())


@pytest.mark.parametrize("damage", ["cut", "flipped", "short"])
def test_a_damaged_idx(tmp_path: Path, prepare: Prepare, damage: str) -> None:
    write_idx(tmp_path / "raw")
    path = tmp_path / "raw/train-images-idx3-ubyte.gz"
    held = path.read_bytes()
    middle = len(held) // 2
    damaged = {
        "cut": held[:middle],
        "flipped": held[:middle] + bytes([held[middle] ^ 255]) + held[middle + 1 :],
        "short": gzip.compress(gzip.decompress(held)[:-1]),
    }
    path.write_bytes(damaged[damage])
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte.gz: .*(truncated|damaged)"):
        prepare(images())
    assert not (tmp_path / "prepared").exists()


def test_a_damaged_npz_and_picture(tmp_path: Path, prepare: Prepare) -> None:
    write_idx(tmp_path / "raw")
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox/a.npz").write_bytes(b"PK\x03\x04 no")
    with pytest.raises(UserError, match=r"a.npz: not readable"):
        prepare(images())
    (tmp_path / "inbox/a.npz").unlink()
    (tmp_path / "inbox/b.png").write_bytes(b"\x89PNG no")
    with pytest.raises(UserError, match=r"b.png: not readable"):
        prepare(images())


def test_values_above_the_levels(tmp_path: Path, prepare: Prepare) -> None:
    write_idx(tmp_path / "raw")
    with pytest.raises(UserError, match="levels: 17"):
        prepare(images(levels=17))


def test_an_empty_split(tmp_path: Path, prepare: Prepare) -> None:
    write_idx(tmp_path / "raw", train=2, test=2)
    with pytest.raises(UserError, match="expected items in split"):
        prepare(images())
