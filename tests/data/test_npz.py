"""Images in .npz in every order of axes and under every usual name, or one line that names array, type and remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from raw_folders import grey

from genfoundry.data.readers import npz
from genfoundry.data.readers.arrays import ImageSet
from genfoundry.errors import UserError


def read(path: Path, **arrays: Any) -> list[ImageSet]:
    np.savez(path / "a.npz", **arrays)
    return list(npz.read_npz(path / "a.npz"))


def colour(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_first_and_last_are_the_same_images(tmp_path: Path, channels: int) -> None:
    x = colour(5, channels, 8, 9)
    (first,) = read(tmp_path, images=x)
    (last,) = read(tmp_path, images=np.moveaxis(x, 1, -1))
    assert (first.x == x).all() and (last.x == x).all()


def test_square_images_decide_between_two_orders(tmp_path: Path) -> None:
    assert read(tmp_path, images=colour(2, 4, 4, 3))[0].x.shape == (2, 3, 4, 4)
    assert read(tmp_path, images=colour(2, 3, 4, 4))[0].x.shape == (2, 3, 4, 4)
    for shape in ((2, 3, 32, 3), (2, 3, 3, 3), (2, 1, 28, 1)):
        with pytest.raises(UserError, match="channels first or last"):
            read(tmp_path, images=colour(*shape))


def test_alpha_stands_on_white(tmp_path: Path) -> None:
    x = np.array([200, 100, 50, 0, 200, 100, 50, 255], np.uint8).reshape(1, 1, 2, 4).repeat(5, 1)
    for order in (x, np.moveaxis(x, -1, 1)):
        (part,) = read(tmp_path, images=order)
        assert part.x[0, :, 0].T.tolist() == [[255, 255, 255], [200, 100, 50]]


@pytest.mark.parametrize("images", ["images", "x_train", "X", "image", "train_images"])
def test_names_that_people_use(tmp_path: Path, images: str) -> None:
    labels = {"images": "labels", "x_train": "y_train", "X": "y", "image": "label", "train_images": "train_labels"}
    (part,) = read(tmp_path, **{images: grey(3), labels[images]: np.array([0, 1, 2])})
    assert (part.label.tolist(), part.test) == ([0, 1, 2], False)


def test_keras_test_split(tmp_path: Path) -> None:
    parts = read(tmp_path, x_train=grey(3), y_train=[[0], [1], [2]], x_test=grey(2, 1), y_test=[[2], [1]])
    assert [(p.test, p.label.tolist()) for p in parts] == [(True, [2, 1]), (False, [0, 1, 2])]


@pytest.mark.parametrize("kind", [bool, np.int64, np.uint16])
def test_whole_numbers_of_any_type(tmp_path: Path, kind: type) -> None:
    (part,) = read(tmp_path, images=(grey(3) % 2).astype(kind))
    assert part.x.dtype == np.uint8 and (part.x[:, 0] == grey(3) % 2).all()


def test_labels_as_words_floats_and_one_hot(tmp_path: Path) -> None:
    (words,) = read(tmp_path, images=grey(3), labels=np.array(["dog", "cat", "dog"]))
    assert (words.names, words.label.tolist()) == (("cat", "dog"), [1, 0, 1])
    assert read(tmp_path, images=grey(2), labels=np.array([b"a", b"b"]))[0].names == ("a", "b")
    for labels in (np.array([2.0, 0, 1]), np.eye(3)[[2, 0, 1]], np.eye(3, dtype=np.uint8)[[2, 0, 1]]):
        assert read(tmp_path, images=grey(3), labels=labels)[0].label.tolist() == [2, 0, 1]


OBJECTS = np.empty(3, object)
OBJECTS[:] = [grey(1, size=n)[0] for n in (4, 5, 6)]
REFUSED = {
    "volumes": ({"images": colour(3, 28, 28, 28)}, r"images: .*got \(3, 28, 28, 28\): volumes\?"),
    "two channels": ({"images": colour(3, 9, 9, 2)}, r"images: expected 1 .* channels, got 2"),
    "floats": ({"x_train": grey(3) / 255}, r"x_train: .*got float64 .*values 0.\d+ to 0.\d+: \(255 \* x\)\.round"),
    "floats from -1": ({"images": grey(3) / 127.5 - 1}, r"\(127.5 \* \(x \+ 1\)\)\.round"),
    "floats to 255": ({"images": grey(3).astype(np.float32)}, r"images: .*got float32 .*\(x\)\.round"),
    "objects": ({"images": OBJECTS}, r"images: expected .*uint8, got an array of Python objects"),
    "16 bits": (
        {"images": grey(3).astype(np.uint16) * 9},
        r"images: expected values from 0 to 255, got uint16 .*values \d+ to \d+",
    ),
    "negative": ({"images": -grey(3).astype(int)}, r"values -\d+ to"),
    "two axes": ({"images": grey(3)[0]}, r"images: expected \(N, H, W\).*, got uint8 \(4, 4\)"),
    "no images": ({"arr_0": grey(3)}, r"expected an array 'images' .*, got arr_0 uint8 \(3, 4, 4\)"),
    "several labels": (
        {"images": grey(3), "labels": np.ones((3, 5), int)},
        r"labels: expected a class an image.*got shape \(3, 5\)",
    ),
    "labels between": (
        {"images": grey(3), "labels": [0.5, 1, 2]},
        "labels: expected whole numbers or words, got float64",
    ),
    "other labels": ({"images": grey(3), "labels": [0, 1]}, "3 images, got 2 labels"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_in_one_line(case: str, tmp_path: Path) -> None:
    arrays, says = REFUSED[case]
    with pytest.raises(UserError, match=says) as refused:
        read(tmp_path, **arrays)
    assert str(refused.value).startswith(str(tmp_path / "a.npz")) and "\n" not in str(refused.value)


def test_one_array_without_a_name(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", grey(3))
    (tmp_path / "a.npy").rename(tmp_path / "a.npz")
    with pytest.raises(UserError, match=r"got one without a name; np.savez"):
        list(npz.read_npz(tmp_path / "a.npz"))


def test_images_last_are_refused_and_both_remedies_work(tmp_path: Path) -> None:
    x = grey(40, size=12)
    with pytest.raises(UserError, match=r"images: .*got \(12, 12, 40\): images last, or 12 of 12 x 40\?"):
        read(tmp_path, images=np.moveaxis(x, 0, -1))
    assert (read(tmp_path, images=np.moveaxis(np.moveaxis(x, 0, -1), -1, 0))[0].x[:, 0] == x).all()
    wide = colour(12, 12, 40)
    assert (read(tmp_path, images=wide[..., None])[0].x[:, 0] == wide).all()
    assert (read(tmp_path, images=wide, labels=np.arange(12))[0].x[:, 0] == wide).all()


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (colour(40, 144), r": x.reshape\(-1, 12, 12\)$"),
        (colour(40, 3072), r": x.reshape\(-1, 3, 32, 32\)\?$"),
        (colour(12, 12), r": x\[None\] is one image of these$"),
        (np.full((3, 4, 4), np.nan), r"with values that are no numbers \(NaN\) or infinite"),
        (np.linspace(-3, 4, 48).reshape(3, 4, 4), r"255 \* \(x - x.min\(\)\) / \(x.max\(\) - x.min\(\)\)"),
    ],
)
def test_the_remedy_fits_the_array(images: np.ndarray, says: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=says):
        read(tmp_path, images=images)


def test_labels_that_are_python_objects_say_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"labels: expected words or whole numbers, got an array of Python objects"):
        read(tmp_path, images=grey(2), labels=np.array(["cat", "dog"], object))
