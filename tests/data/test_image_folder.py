"""Folders of images as people have them, prepared: classes, splits, kinds of files, and one line for what is bad."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from raw_folders import grey, idx_bytes, images

from genfoundry import config
from genfoundry.data.dataset import Dataset
from genfoundry.data.modalities import images as prepared_images
from genfoundry.data.readers import image_folder
from genfoundry.data.readers import images as readers_images
from genfoundry.data.readers.images import SUFFIXES, Form
from genfoundry.errors import UserError

Prepare = Callable[..., Dataset]


def save(*paths: Path, seed: int = 0, size: int = 8) -> None:
    for i, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(grey(1, seed + i, size)[0]).save(path)


def own(**more: object) -> config.Dataset:
    return images(raw=config.Folder(path="mine"), **more)


def rows(data: Dataset) -> pd.DataFrame:
    return pd.read_parquet(data.folder / "describe.parquet")


def classes(data: Dataset) -> dict[str, int]:
    """The number of images of each class, by name."""
    names = [*data.meta["names"], "none"]
    return {names[label]: count for label, count in rows(data)["label"].value_counts().items()}


def test_every_kind_of_picture_is_read_in_a_folder_and_an_inbox(tmp_path: Path, prepare: Prepare) -> None:
    for i in range(60):
        suffix = SUFFIXES[i % len(SUFFIXES)].upper() if i % 2 else SUFFIXES[i % len(SUFFIXES)]
        save(tmp_path / f"raw/{'ab'[i // 2 % 2]}/{i}{suffix}", seed=i)
    for i, suffix in enumerate(SUFFIXES):
        save(tmp_path / f"inbox/a/new{i}{suffix}", seed=100 + i)
    data = prepare(own(colour="grey"))
    assert classes(data) == {"a": 30 + len(SUFFIXES), "b": 30}
    (tmp_path / "inbox/a/b.heic").touch()
    with pytest.raises(
        UserError, match=r"b.heic: expected a kind of file that this data set takes \(.png, .jpg.*\), got another"
    ):
        prepare(own(colour="grey"))


def test_the_topmost_folder_is_the_class_and_so_in_an_inbox(tmp_path: Path, prepare: Prepare) -> None:
    for k in range(4):
        save(*(tmp_path / f"raw/train/n{k}/images/{i}.png" for i in range(20)), seed=20 * k)
    save(*(tmp_path / f"raw/val/images/{i}.png" for i in range(5)), seed=200)
    save(tmp_path / "inbox/n2/images/new.png", tmp_path / "inbox/n3/new.png", seed=300)
    for key in (None, "top"):
        data = prepare(own(classes=key))
        assert classes(data) == {"n0": 20, "n1": 20, "n2": 21, "n3": 21, "none": 5}
    assert classes(prepare(own(classes="none"))) == {"none": 87}
    save(tmp_path / "inbox/n9/new.png", seed=301)
    with pytest.raises(UserError, match="expected one of n0, n1, n2, n3, got the new class 'n9'"):
        prepare(own())


def test_an_ambiguous_folder_is_refused_in_stages_too(tmp_path: Path, prepare: Prepare) -> None:
    save(*(tmp_path / f"raw/{'ab'[i % 2]}/{'xyz'[i % 3]}/{i}.png" for i in range(60)))
    with pytest.raises(UserError, match=r"raw: classes are ambiguous: a, b by `classes: top`"):
        prepare(own())
    assert classes(prepare(own(classes="parent"))) == {"x": 20, "y": 20, "z": 20}
    assert not (tmp_path / "prepared" / "none").exists()


def test_unlabelled_train_and_test(tmp_path: Path, prepare: Prepare) -> None:
    save(*(tmp_path / f"raw/train/{i}.png" for i in range(60)))
    save(*(tmp_path / f"raw/test/{i}.png" for i in range(12)), seed=100)
    data = prepare(own())
    assert data.spec.classes == 0 and data.meta["counts"]["test"] == 12
    assert set(rows(data).loc[rows(data)["split"] == "test", "source"].str.split("/").str[0]) == {"test"}


def test_labels_from_1_and_without_a_label(tmp_path: Path, prepare: Prepare) -> None:
    (tmp_path / "raw").mkdir()
    label = np.where(np.arange(90) % 9 == 0, -1, 1 + np.arange(90) % 3)
    np.savez(tmp_path / "raw/a.npz", images=grey(90), labels=label)
    data = prepare(own())
    assert classes(data) == {"1": 20, "2": 30, "3": 30, "none": 10} and data.spec.classes == 3
    (tmp_path / "inbox").mkdir()
    np.savez(tmp_path / "inbox/b.npz", images=grey(2, 9), labels=[3, 7])
    with pytest.raises(UserError, match=r"b.npz: expected a label of 1, 2, 3, or -1 for none, got 7"):
        prepare(own())


@pytest.mark.parametrize(("stem", "dot"), [("emnist-letters-{}-", "-"), ("{}-", "."), ("emnist-letters-{}-", ".")])
def test_idx_under_other_names_keeps_its_test(stem: str, dot: str, tmp_path: Path, prepare: Prepare) -> None:
    (tmp_path / "raw").mkdir()
    for split, n in (("train", 60), ("test", 20)):
        name = tmp_path / "raw" / stem.format(split)
        label = (1 + np.arange(n) % 3).astype(np.uint8)
        Path(f"{name}images{dot}idx3-ubyte.gz").write_bytes(idx_bytes(grey(n, len(split))))
        Path(f"{name}labels{dot}idx1-ubyte").write_bytes(gzip.decompress(idx_bytes(label)))  # not packed
    data = prepare(own())
    assert data.meta["counts"]["test"] == 20 and data.meta["names"] == ["1", "2", "3"]


def test_a_table_beside_arrays_is_a_list(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=grey(5))
    (tmp_path / "about.csv").write_text("name,size\na,5\n")
    assert sum(len(part.x) for part in image_folder.read_images(tmp_path).parts) == 5


def test_mnist_tables_keep_their_test(tmp_path: Path, prepare: Prepare) -> None:
    (tmp_path / "raw").mkdir()
    for name, n in (("mnist_train", 60), ("mnist_test", 20)):
        x = grey(n, n).reshape(n, -1)
        x[:, [0, -1]] = 0
        table = np.column_stack([np.arange(n) % 3, x])
        np.savetxt(tmp_path / f"raw/{name}.csv", table, fmt="%d", delimiter=",")
    data = prepare(own())
    assert data.meta["counts"]["test"] == 20 and data.meta["declared"] == {"label": "first"}
    (tmp_path / "inbox").mkdir()
    row = np.concatenate([[2], np.zeros(1), grey(1, 7).ravel()[1:]]).astype(int)
    (tmp_path / "inbox/more.csv").write_text(",".join(map(str, row)) + "\n")  # too short to show its label's column
    new = rows(prepare(own()))
    assert new.loc[new["source"] == "more.csv", "label"].tolist() == [2]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 2), (1, 28), (28, 3)])
def test_images_of_few_pixels_are_refused(height: int, width: int, tmp_path: Path, prepare: Prepare) -> None:
    (tmp_path / "raw").mkdir()
    x = np.random.default_rng(0).integers(0, 256, (80, height, width), np.uint8)
    np.savez(tmp_path / "raw/a.npz", images=x)
    with pytest.raises(UserError, match=rf"a.npz: expected images of 4 pixels or more a side, got {height} x {width}"):
        prepare(own())
    assert prepare(own(size=8)).spec.shape == (1, 8, 8)


def test_many_damaged_files_are_one_line(tmp_path: Path) -> None:
    save(*(tmp_path / f"{i:03}.png" for i in range(200)))
    for i in range(70, 160):
        (tmp_path / f"{i:03}.png").write_bytes(b"\x89PNG no")
    with pytest.raises(UserError, match=r"070.png: not readable as an image.*; 90 of 200 files have faults") as refused:
        list(readers_images.read_pictures(sorted(tmp_path.iterdir()), Form()))
    assert "\n" not in str(refused.value)


def test_pictures_are_decoded_a_few_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or all of a data set would wait in memory for whoever takes them."""
    save(*(tmp_path / f"{i:03}.png" for i in range(64)))
    decoded: list[Path] = []
    real = readers_images.read_picture
    monkeypatch.setattr(readers_images, "read_picture", lambda path, form: decoded.append(path) or real(path, form))
    monkeypatch.setattr(readers_images, "CHUNK_FILES", 1)
    monkeypatch.setattr(readers_images.cgroup, "cpus", lambda: 2)
    reading = readers_images.read_pictures(sorted(tmp_path.iterdir()), Form())
    next(reading)
    assert len(decoded) < 16
    assert len(list(reading)) == 63 and len(decoded) == 64


def test_splits_are_views_of_one_array() -> None:
    x = grey(100)[:, None]
    where = np.array(["train", "val", "gate", "test", "train"])[np.random.default_rng(0).integers(0, 5, 100)]
    expected = {split: x[where == split].copy() for split in ("train", "val", "gate", "test")}
    held = prepared_images.split_in_place(x, {"label": np.arange(100)}, where)
    for split, arrays in held.items():
        assert (arrays["x"] == expected[split]).all() and np.shares_memory(arrays["x"], x)
        assert arrays["label"].tolist() == np.flatnonzero(where == split).tolist()


def test_a_file_or_folder_named_test_is_the_test_split_of_arrays(tmp_path: Path, prepare: Prepare) -> None:
    (tmp_path / "raw/test").mkdir(parents=True)
    np.savez(tmp_path / "raw/train.npz", images=grey(90), labels=np.arange(90) % 2)
    for test in ("raw/test.npz", "raw/test/1.npz"):
        np.savez(tmp_path / test, images=grey(12, 5), labels=np.arange(12) % 2)
        assert prepare(own()).meta["counts"]["test"] == 12
        (tmp_path / test).unlink()
    (tmp_path / "raw/train.npz").rename(tmp_path / "raw/x_test.npz")
    assert prepare(own()).meta["counts"]["train"] > 0  # a test split alone is divided as any data are


@pytest.mark.parametrize("names", ["{0}-{1}/{0}-{1}", "T{0}-{1}", "{0}-{1}.gz"])
def test_idx_labels_are_found_in_folders_of_their_own_and_unpacked(names: str, tmp_path: Path) -> None:
    for what, x in (("images-idx3-ubyte", grey(9)), ("labels-idx1-ubyte", np.arange(9, dtype=np.uint8))):
        path = tmp_path / names.format("train", what if "T" not in names else what.capitalize())
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(gzip.decompress(idx_bytes(x)))  # a browser unpacks a .gz and keeps its name
    (part,) = image_folder.read_images(tmp_path, Form()).parts
    assert part.label.tolist() == list(range(9)) and (part.x[:, 0] == grey(9)).all()


def test_lists_beside_tables_of_grey_values_are_left_out(tmp_path: Path) -> None:
    head = ",".join(f"pixel{i}" for i in range(64))
    rows = "".join(",".join(map(str, x.ravel())) + "\n" for x in grey(6, size=8))
    (tmp_path / "train.csv").write_text(f"label,{head}\n" + "".join(f"1,{row}\n" for row in rows.splitlines()))
    (tmp_path / "test.csv").write_text(f"{head}\n{rows}")
    (tmp_path / "sample_submission.csv").write_text("ImageId,Label\n1,0\n2,0\n")
    parts = image_folder.read_images(tmp_path, Form()).parts
    assert [(part.source, part.test, int(part.label[0])) for part in parts] == [
        ("test.csv", True, -1),
        ("train.csv", False, 1),
    ]
