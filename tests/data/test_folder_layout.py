"""Where the class and the split stand in a picture's path, for every layout that people publish."""

from __future__ import annotations

from pathlib import Path

import pytest

from genfoundry.data.readers.folder_layout import Layout, derive_layout, split_word
from genfoundry.errors import UserError

ROOT = Path("pictures")


def folders(*paths: str) -> list[tuple[str, ...]]:
    return [tuple(path.split("/")) if path else () for path in paths]


def classes(layout: Layout, *paths: str) -> list[str | None]:
    return [layout.place(folder)[0] for folder in folders(*paths)]


CLEAR = {
    "flat": (("",), (None,)),
    "a folder a class": (("cat", "dog"), ("cat", "dog")),
    "pictures beside the class folders": (("", "cat", "dog"), (None, "cat", "dog")),
    "train and test of classes": (("train/cat", "train/dog", "test/cat"), ("cat", "dog", "cat")),
    "split folders as others spell them": (("Training/cat", "Training/dog", "Testing/dog"), ("cat", "dog", "dog")),
    "unlabelled train and test": (("train", "test"), (None, None)),
    "unlabelled, with longer names": (("train_images", "test-images", "val2017"), (None, None, None)),
    "a folder `images` in every class": (("train/a/images", "train/b/images"), ("a", "b")),
    "Tiny-ImageNet": (("train/a/images", "train/b/images", "val/images", "test/images"), ("a", "b", None, None)),
    "Kaggle": (("train/cat", "train/dog", "test"), ("cat", "dog", None)),
    "Kaggle, unpacked twice": (("train/train", "test/test"), ("train", None)),
    "STL-10": (("train/cat", "train/dog", "test/cat", "unlabeled"), ("cat", "dog", "cat", None)),
    "splits below the classes": (("cat/train", "cat/test", "dog/train", "dog/test"), ("cat", "cat", "dog", "dog")),
    "a folder around all": (("data/train/cat", "data/train/dog", "data/test/cat"), ("cat", "dog", "cat")),
    "two folders around all": (("x/y/cat/raw", "x/y/dog/raw"), ("cat", "dog")),
    "a class named train": (("bus", "car", "train"), ("bus", "car", "train")),
    "a class named train below the splits": (("train/bus", "train/train", "test/train"), ("bus", "train", "train")),
    "years below the classes": (("a/2020", "a/2021", "b/2020", "b/2021"), ("a", "a", "b", "b")),
    "days above the classes": (("2020-05-01/cat", "2020-05-02/dog", "2020-05-02/cat"), ("cat", "dog", "cat")),
    "YOLO": (("images/train", "images/val"), ("images", "images")),
    "names that YAML reads otherwise": (("no", "1e3", "2020"), ("no", "1e3", "2020")),
}


@pytest.mark.parametrize("case", CLEAR)
def test_what_has_one_meaning(case: str) -> None:
    paths, expected = CLEAR[case]
    layout = derive_layout(folders(*paths), ROOT)
    assert classes(layout, *paths) == list(expected)
    assert layout.names == tuple(sorted({name for name in expected if name}))


@pytest.mark.parametrize(
    ("paths", "published"),
    [
        (("train/cat", "test/cat"), (False, True)),
        (("train", "test"), (False, True)),
        (("Training/cat", "Testing/cat", "valid/cat"), (False, True, False)),
        (("cat/train", "cat/test"), (False, True)),
        (("data/train/cat", "data/test/cat"), (False, True)),
        (("test/cat", "test/dog"), (False, False)),  # nothing would be left to train on
        (("cat", "test"), (False, False)),  # a class
    ],
)
def test_a_published_test_split(paths: tuple[str, ...], published: tuple[bool, ...]) -> None:
    layout = derive_layout(folders(*paths), ROOT)
    assert [layout.place(folder)[1] for folder in folders(*paths)] == list(published)


AMBIGUOUS = {
    "a taxonomy": (("animals/cat", "animals/dog", "vehicles/car"), "animals, vehicles by `classes: top`"),
    "parts of each class": (("a/x", "a/y", "b/x", "b/y"), "x, y by `classes: parent`"),
    "some in subfolders": (("cat", "cat/more", "dog"), "cat, dog, more by `classes: parent`"),
    "below train": (("train/a/x", "train/b/y", "train/b/x"), "a, b by `classes: top`"),
    "CycleGAN": (("trainA", "trainB", "testA", "testB"), "testA, testB, trainA, trainB are splits or classes"),
    "numbered parts": (("train1", "train2", "test"), "test, train1, train2 are splits or classes"),
}


@pytest.mark.parametrize("case", AMBIGUOUS)
def test_what_has_two_meanings_is_refused_with_the_key(case: str) -> None:
    paths, says = AMBIGUOUS[case]
    with pytest.raises(UserError, match=says) as refused:
        derive_layout(folders(*paths), ROOT)
    message = str(refused.value)
    assert message.startswith("pictures") and "`classes: none`" in message and "\n" not in message
    assert classes(derive_layout(folders(*paths), ROOT, "none"), *paths) == [None] * len(paths)


def test_the_key_decides() -> None:
    paths = ("animals/cat", "animals/dog", "vehicles/car")
    assert classes(derive_layout(folders(*paths), ROOT, "top"), *paths) == ["animals", "animals", "vehicles"]
    assert classes(derive_layout(folders(*paths), ROOT, "parent"), *paths) == ["cat", "dog", "car"]
    paths = ("trainA", "trainB", "testA")
    assert classes(derive_layout(folders(*paths), ROOT, "parent"), *paths) == ["trainA", "trainB", "testA"]


def test_what_comes_later_obeys_the_same_rule() -> None:
    top = derive_layout(folders("train/a/images", "train/b/images"), ROOT)
    assert [top.place_later(f) for f in folders("a/images", "b", "train/a/images", "")] == ["a", "b", "a", None]
    flat = derive_layout(folders(""), ROOT)
    assert flat.place_later(("cow",)) == "cow"  # which the data set then refuses
    assert derive_layout(folders(""), ROOT, "none").place_later(("cow",)) is None
    wrapped = derive_layout(folders("data/cat", "data/dog"), ROOT)
    assert [wrapped.place_later(f) for f in folders("data/cat", "cat")] == ["cat", "cat"]
    vehicles = derive_layout(folders("bus", "train"), ROOT)
    assert vehicles.place_later(("train",)) == "train"


def test_words_for_splits() -> None:
    assert [split_word(word) for word in ("TRAIN", "val_images", "Test set", "validation", "test2017")] == [
        "train",
        "val",
        "test",
        "val",
        "test",
    ]
    assert [split_word(word) for word in ("trainer", "contest", "trainA", "images", "2017", "train car")] == [None] * 6


UNLIKE = {
    "domains by name": (("train_horse", "train_zebra", "test_horse", "test_zebra"), "are splits or classes"),
    "classes with a split's ending": (("cat_train", "cat_test", "dog_train", "dog_test"), "are splits or classes"),
    "a folder beside splits": (("train/cat", "test/cat", "extra"), "test, train are splits, but extra is none"),
    "a split of another name": (("train", "validation", "holdout"), "are splits, but holdout is none"),
    "masks": (("images", "masks"), "masks look like masks of what is in images"),
    "masks of each split": (("train/images", "train/masks", "test/images"), "masks look like masks"),
    "labels of volumes": (("imagesTr", "imagesTs", "labelsTr"), "labelsTr look like masks of what is in imagesTr"),
}


@pytest.mark.parametrize("case", UNLIKE)
def test_folders_that_are_no_classes_are_refused_until_declared(case: str) -> None:
    paths, says = UNLIKE[case]
    with pytest.raises(UserError, match=f"{says}.*CLASSES=") as refused:
        derive_layout(folders(*paths), ROOT)
    assert "\n" not in str(refused.value)
    for rule in ("parent", "none"):
        assert derive_layout(folders(*paths), ROOT, rule).rule == rule


def test_words_of_one_split_are_classes() -> None:
    assert derive_layout(folders("train", "car"), ROOT).names == ("car", "train")
    assert derive_layout(folders("train_steam", "train_freight"), ROOT).names == ("train_freight", "train_steam")


def test_subjects_of_a_study_are_no_classes() -> None:
    assert derive_layout(folders("sub-01/anat", "sub-02/anat"), ROOT).rule == "none"


def test_an_inbox_may_have_splits_below_the_classes_as_the_data_set_has() -> None:
    layout = derive_layout(folders("cat/train", "cat/test", "dog/train"), ROOT)
    assert [layout.place_later(f) for f in folders("cat/train", "dog", "train/cat")] == ["cat", "dog", "cat"]
