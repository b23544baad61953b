"""Pictures of any size and kind: what becomes of them is what was declared, and what cannot be read says so."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from raw_folders import grey, images

from genfoundry import config
from genfoundry.data.dataset import Dataset
from genfoundry.data.readers import images as readers_images
from genfoundry.data.readers.images import Form, read_picture
from genfoundry.errors import UserError

Prepare = Callable[..., Dataset]


def save(path: Path, x: np.ndarray | Image.Image, **how: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    (x if isinstance(x, Image.Image) else Image.fromarray(x)).save(path, **how)
    return path


def colour(n: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), np.uint8)


def test_shrinking_averages(tmp_path: Path) -> None:
    board = (np.indices((128, 128)).sum(0) % 2 * 255).astype(np.uint8)
    small = read_picture(save(tmp_path / "a.png", board), Form((32, 32)))
    assert np.abs(small[0, 2:-2, 2:-2].astype(int) - 128).max() <= 2  # picking pixels would give 0 or 255


@pytest.mark.parametrize(("height", "width"), [(20, 40), (40, 20)])
def test_the_centre_of_the_longer_side_is_kept(tmp_path: Path, height: int, width: int) -> None:
    place = np.indices((height, width))[int(width > height)] * 4 + 10  # a ramp along the longer side
    path = save(tmp_path / "a.png", place.astype(np.uint8))
    whole = read_picture(path, Form((20, 20)))[0]
    ramp = whole[5] if width > height else whole[:, 5]
    assert ramp.tolist() == [4 * (10 + i) + 10 for i in range(20)]
    half = read_picture(path, Form((10, 10)))[0]
    ramp = half[5] if width > height else half[:, 5]
    np.testing.assert_allclose(ramp[2:-2], [4 * (10.5 + 2 * i) + 10 for i in range(2, 8)], atol=1)


def test_a_height_and_a_width(tmp_path: Path) -> None:
    assert read_picture(save(tmp_path / "a.png", colour(1, 30, 50)[0]), Form((8, 16))).shape == (3, 8, 16)


def test_what_has_the_size_stays_as_it_is(tmp_path: Path) -> None:
    x = colour(1, 12, 12)[0]
    assert (read_picture(save(tmp_path / "a.png", x), Form((12, 12), "rgb")) == np.moveaxis(x, -1, 0)).all()


def test_a_cameras_orientation_is_obeyed(tmp_path: Path) -> None:
    x = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it a quarter to the right
    path = save(tmp_path / "a.png", x, exif=exif)
    assert (read_picture(path)[0] == np.rot90(x, -1)).all()
    assert readers_images.read_header(path)[0] == (3, 2)


def test_what_is_transparent_stands_on_white(tmp_path: Path) -> None:
    clear = np.array([[[200, 100, 50, 0], [200, 100, 50, 255]]], np.uint8)
    assert read_picture(save(tmp_path / "a.png", clear))[:, 0].T.tolist() == [[255, 255, 255], [200, 100, 50]]
    pale = Image.fromarray(np.array([[[10, 0], [10, 255]]], np.uint8), "LA")
    assert read_picture(save(tmp_path / "b.png", pale)).tolist() == [[[255, 10]]]
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    palette.putpalette([9, 8, 7, 1, 2, 3])
    assert read_picture(save(tmp_path / "c.png", palette))[:, 0].T.tolist() == [[9, 8, 7], [1, 2, 3]]
    assert read_picture(save(tmp_path / "d.png", palette, transparency=0))[:, 0].T.tolist() == [
        [255, 255, 255],
        [1, 2, 3],
    ]
    assert read_picture(save(tmp_path / "e.png", Image.new("1", (2, 1), 1))).tolist() == [[[255, 255]]]
    assert read_picture(save(tmp_path / "f.jpg", Image.new("CMYK", (8, 8), (0, 0, 0, 0)))).min() > 250


def test_more_than_8_bits_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "deep.png", np.full((4, 4), 4095, np.uint16))
    for read in (read_picture, readers_images.read_header):
        with pytest.raises(UserError, match=r"deep.png: .*16 or more bits.*convert it to 8 bits") as refused:
            read(path)
        assert "\n" not in str(refused.value)


def test_colour_is_converted_as_declared(tmp_path: Path) -> None:
    red, dim = np.zeros((4, 4, 3), np.uint8), np.full((4, 4), 7, np.uint8)
    red[..., 0] = 255
    a, b = save(tmp_path / "red.png", red), save(tmp_path / "dim.png", dim)
    assert read_picture(a, Form(colour="grey"))[0, 0].tolist() == [76] * 4  # 0.299 of 255 (ITU-R 601)
    assert (read_picture(b, Form(colour="rgb")) == 7).all() and read_picture(b, Form(colour="rgb")).shape == (3, 4, 4)


def mixed(raw: Path, n: int = 40) -> None:
    """Colour and grey files of two sizes in two classes' folders."""
    for i in range(n):
        size = (16, 20) if i % 3 else (24, 14)
        x = colour(1, *size, seed=i)[0]
        save(raw / ("cat" if i % 2 else "dog") / f"{i}.png", x if i % 4 else x[..., 0])


def test_a_mixture_says_what_to_declare(tmp_path: Path, prepare: Prepare) -> None:
    mixed(tmp_path / "raw")
    with pytest.raises(UserError, match=r"declare colour: grey or colour: rgb and size: 64") as refused:
        prepare(images())
    assert "\n" not in str(refused.value)
    with pytest.raises(UserError, match=r"declare size: 64 \(or \[height, width\]\) in"):
        prepare(images(colour="rgb"))
    with pytest.raises(UserError, match=r"declare colour: grey or colour: rgb in"):
        prepare(images(size=[8, 8]))
    data = prepare(images(size=8, colour="rgb"))
    assert (data.spec.shape, data.spec.classes) == ((3, 8, 8), 2)
    assert len(pd.read_parquet(tmp_path / "prepared/describe.parquet")) == 40


def test_the_inbox_is_read_alike(tmp_path: Path, prepare: Prepare) -> None:
    mixed(tmp_path / "raw")
    before = prepare(images(size=8, colour="grey"), out="before").folder / "describe.parquet"
    save(tmp_path / "inbox/cat/new.jpg", colour(1, 50, 33, seed=99)[0])
    np.savez(tmp_path / "inbox/more.npz", images=colour(2, 9, 11, seed=98), labels=np.array([0, 1]))
    prepare(images(size=8, colour="grey"))
    old, new = pd.read_parquet(before), pd.read_parquet(tmp_path / "prepared/describe.parquet")
    assert len(new) == len(old) + 3
    merged = old.merge(new, on="digest", suffixes=("", "_now"))
    assert len(merged) == len(old) and (merged["split"] == merged["split_now"]).all()


def test_no_class_without_folders(tmp_path: Path, prepare: Prepare) -> None:
    for i, x in enumerate(grey(60)):
        save(tmp_path / f"raw/{i}.png", x)
    own = images(raw=config.Folder(path="mine"))
    data = prepare(own)
    assert data.spec.classes == 0
    assert set(data.split("train").eval_batch(torch.arange(5)).label.tolist()) == {-1}  # type: ignore[union-attr]
    save(tmp_path / "inbox/cow/new.png", grey(1, 6)[0])
    with pytest.raises(UserError, match=r"expected no folder of a class, .*, got the new class 'cow'"):
        prepare(own)


def test_a_lone_folder_is_no_class(tmp_path: Path, prepare: Prepare) -> None:
    for i, x in enumerate(grey(60)):
        save(tmp_path / f"raw/holiday/{i}.png", x)
    save(tmp_path / "inbox/holiday/new.png", grey(1, 5)[0])
    data = prepare(images(raw=config.Folder(path="mine")))
    assert (data.spec.classes, data.meta["names"]) == (0, [])
    rows = pd.read_parquet(data.folder / "describe.parquet")
    assert len(rows) == 61 and set(rows["label"]) == {-1}


def test_a_folder_of_tests_is_a_published_split(tmp_path: Path, prepare: Prepare) -> None:
    for part, n, seed in (("train", 60, 0), ("test", 20, 1)):
        for i, x in enumerate(grey(n, seed)):
            save(tmp_path / "raw" / part / ("cat" if i % 2 else "dog") / f"{i}.png", x)
    prepare(images())
    rows = pd.read_parquet(tmp_path / "prepared/describe.parquet")
    assert set(rows[rows["source"].str.startswith("test/")]["split"]) == {"test"}
    assert (rows["split"] == "test").sum() == 20


def test_the_split_is_a_function_of_what_the_model_sees(tmp_path: Path, prepare: Prepare) -> None:
    x = grey(60)
    for i, one in enumerate(x):
        save(tmp_path / f"raw/{i}.png", one)
    prepare(images(), out="folder")
    for path in (tmp_path / "raw").iterdir():
        path.unlink()
    np.savez(tmp_path / "raw/all.npz", images=x[::-1])
    prepare(images(), out="array")
    one, two = (
        pd.read_parquet(tmp_path / f / "describe.parquet").set_index("digest")["split"] for f in ("folder", "array")
    )
    assert one.sort_index().equals(two.sort_index())


def test_a_list_beside_pictures_is_left_alone(tmp_path: Path, prepare: Prepare) -> None:
    for i, x in enumerate(grey(60)):
        save(tmp_path / f"raw/{i}.png", x)
    (tmp_path / "raw/labels.csv").write_text("file,label\n0.png,cat\n")
    assert sum(prepare(images()).meta["counts"].values()) == 60
    save(tmp_path / "inbox/new.png", grey(1, 5)[0])
    (tmp_path / "inbox/labels.csv").write_text("file,label\nnew.png,cat\n")
    with pytest.raises(UserError, match=r"labels.csv: expected a kind of file that this data set takes"):
        prepare(images())  # in an inbox what is left alone would be taken for used


def test_arrays_take_size_and_colour_too(tmp_path: Path, prepare: Prepare) -> None:
    (tmp_path / "raw").mkdir()
    x = colour(80, 10, 12)
    np.savez(tmp_path / "raw/a.npz", images=x)
    data = prepare(images(size=8, colour="grey"))
    assert data.spec.shape == (1, 8, 8)
    first = read_picture(save(tmp_path / "one.png", x[0]), Form((8, 8), "grey"))
    held = torch.cat([data.split(s).tensor for s in ("train", "val", "gate", "test")])
    assert (held == torch.tensor(first)).flatten(1).all(1).sum() == 1  # as if it had been a file
    np.savez(tmp_path / "raw/a.npz", images=np.zeros((80, 10, 12, 2), np.uint8))
    with pytest.raises(UserError, match=r"a.npz: images: expected 1 \(grey\).* channels, got 2"):
        prepare(images(size=8))


def test_medmnist_keeps_its_test_and_spreads_the_rest(tmp_path: Path, prepare: Prepare) -> None:
    (tmp_path / "raw").mkdir()
    parts = {"train": grey(200, 1), "val": grey(60, 2), "test": grey(30, 3)}
    labels = {f"{s}_labels": (np.arange(len(x)) % 3).astype(np.uint8)[:, None] for s, x in parts.items()}
    np.savez(tmp_path / "raw/med.npz", **{f"{s}_images": x for s, x in parts.items()}, **labels)
    data = prepare(images())
    assert (data.split("test").tensor[:, 0].numpy() == parts["test"]).all()
    assert data.spec.classes == 3
    theirs = {x.tobytes() for x in parts["val"]}
    found = {
        s: sum(x.numpy().tobytes() in theirs for x in data.split(s).tensor[:, 0]) for s in ("train", "val", "gate")
    }
    assert all(found.values()) and sum(found.values()) == 60
    labels["train_labels"] = np.zeros((200, 14), np.uint8)
    np.savez(tmp_path / "raw/med.npz", **{f"{s}_images": x for s, x in parts.items()}, **labels)
    with pytest.raises(UserError, match=r"train_labels: expected a class an image.*got shape \(200, 14\)"):
        prepare(images())


def test_flips_are_for_training_alone(tmp_path: Path, prepare: Prepare) -> None:
    (tmp_path / "raw").mkdir()
    np.savez(tmp_path / "raw/a.npz", images=grey(200))
    plain, flipped = prepare(images(), out="plain"), prepare(images(flip=True))
    one, two = plain.split("train"), flipped.split("train")
    assert plain.meta["digest"] == flipped.meta["digest"] and (one.tensor == two.tensor).all()
    index = torch.arange(len(two)).repeat(8)
    assert (two.eval_batch(index).x == one.eval_batch(index).x).all()
    torch.manual_seed(3)
    x = two.train_batch(index).x
    torch.manual_seed(3)
    assert (two.train_batch(index).x == x).all()
    same, mirrored = ((x == y).flatten(1).all(1) for y in (one.tensor[index], one.tensor[index].flip(-1)))
    assert (same | mirrored).all()
    assert abs(mirrored.double().mean() - 0.5) < 0.06
    assert (one.train_batch(index).x == one.tensor[index]).all()


def test_a_picture_that_is_none(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.fromarray(colour(1, 40, 40)[0]).save(file, "png")
    for name, content in {"cut.png": file.getvalue()[:500], "text.jpg": b"hello", "empty.png": b""}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=f"{name}: not readable as an image") as refused:
            read_picture(tmp_path / name)
        assert "\n" not in str(refused.value)


def test_files_are_found_below_hidden_folders_but_not_in_them(tmp_path: Path, prepare: Prepare) -> None:
    from genfoundry.data.readers.listing import list_files

    for name in (".home/a.png", ".home/.cache/b.png"):
        save(tmp_path / name, grey(1)[0])
    assert [p.name for p in list_files(tmp_path / ".home", ".png")] == ["a.png"]
