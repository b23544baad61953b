"""How a folder of pictures names classes and splits: `<class>/*`, `train/<class>/*`, `<class>/2020/*`, or neither.

A split folder (train, test, val, ...) is no class. Of what is left of a picture's folders, the class is the one that
the picture is in (`parent`) or the topmost (`top`). Where both tell pictures apart, and differently, the user decides.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from genfoundry.config import ClassRule
from genfoundry.errors import UserError

Folders = tuple[str, ...]  # of a picture, from the root down
SPLIT_WORDS = {
    **dict.fromkeys(("train", "training", "unlabeled", "unlabelled"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
NEUTRAL = {"images", "image", "imgs", "img", "pictures", "photos", "data", "dataset", "set"}  # as in train_images
PART_OF_SPLIT = re.compile(r"(train|val|valid|test)(ing|idation)?[ _-]?([a-z]|\d{1,3})")  # as in trainA, test_1
SUBJECT = re.compile(r"sub-[0-9A-Za-z]+")  # as in BIDS
SIDES = r"([ _-]?(tr|ts|train|val|test))?"  # as in imagesTr, labelsTr
ORIGINALS = re.compile(r"(images?|imgs?|pictures?|photos?|inputs?|originals?)" + SIDES)
MASKS = re.compile(r"(masks?|labels?|annotations?|segmentations?|ground[ _-]?truths?|gt)" + SIDES)
DATE = re.compile(r"(19|20)\d\d([-_.]?(0\d|1[0-2])([-_.]?[0-3]\d)?)?")
SHOWN = 4


@dataclass(frozen=True)
class Layout:
    """Where the class and the split stand in a picture's path.

    `split_at`: the position of the split folder; `wrapper`: folders above all classes; `names`: the classes, sorted.
    """

    rule: ClassRule = "parent"
    split_at: int | None = None
    wrapper: Folders = ()
    names: tuple[str, ...] = ()
    unlabelled: frozenset[Folders] = frozenset()
    published: bool = False

    def place(self, folders: Folders) -> tuple[str | None, bool]:
        """The class of a picture in these folders (None: unlabelled), and whether it is of a published test split."""
        split, inner = _divide(folders, self.split_at)
        name = None if folders in self.unlabelled else self._class(inner)
        return name, self.published and split == "test"

    def place_later(self, folders: Folders) -> str | None:
        """The class of a picture that came by the inbox, which may lie in a split folder or not."""
        for position in (0, self.split_at or 0):
            if len(folders) > position and folders[position] not in self.names and split_word(folders[position]):
                return self._class(folders[:position] + folders[position + 1 :])
        return self._class(folders)

    def _class(self, inner: Folders) -> str | None:
        if self.wrapper and inner[: len(self.wrapper)] == self.wrapper and len(inner) > len(self.wrapper):
            inner = inner[len(self.wrapper) :]
        if self.rule == "none" or not inner:
            return None
        return inner[0] if self.rule == "top" else inner[-1]


def split_word(folder: str) -> str | None:
    """train, val or test for the name of a split folder (Training, test_images, val2017); None for any other."""
    tokens = [token for token in re.split(r"[\W_]+", folder.lower()) if token and token not in NEUTRAL]
    return SPLIT_WORDS.get(re.sub(r"20\d\d$", "", tokens[0])) if len(tokens) == 1 else None


def derive_layout(folders: Collection[Folders], root: Path, declared: ClassRule | None = None) -> Layout:
    """Derive the layout of pictures from the folders that they lie in.

    Raises:
        UserError: it can be read in two ways, and `declared` (the key `classes`) does not say in which.
    """
    distinct = set(folders)
    split_at = _find_split_position(distinct)
    divided = {f: _divide(f, split_at) for f in distinct}
    splits = {split for split, _ in divided.values()}
    inners = [inner for _, inner in divided.values()]
    trained = [inner for split, inner in divided.values() if split in ("train", None)] or inners
    if declared is None and split_at is None:
        _refuse_domains(distinct, root)
        _refuse_other_than_splits(distinct, root)
    if declared is None:
        _refuse_masks({inner[-1] for inner in inners if inner}, root)
    wrapper = _find_wrapper(trained)
    rule = declared or _find_rule([inner[len(wrapper) :] for inner in trained], wrapper, root)
    layout = Layout(rule, split_at, wrapper, published="test" in splits and len(splits) > 1)
    names = {name for inner in trained if (name := layout._class(inner))}
    unlabelled: set[Folders] = set()
    for split in ("val", "test") if splits & {"train", None} else ():
        class_of = {f: layout._class(inner) for f, (word, inner) in divided.items() if word == split}
        classes = {name for name in class_of.values() if name}
        if len(classes) == 1 and not classes <= names:  # val/images, whose labels stand elsewhere
            unlabelled |= class_of.keys()
        else:
            names |= classes
    return Layout(rule, split_at, wrapper, tuple(sorted(names)), frozenset(unlabelled), layout.published)


def _find_split_position(distinct: set[Folders]) -> int | None:
    """The first position at which every folder is a split's."""
    for position in range(max(map(len, distinct), default=0)):
        if all(split_word(f[position]) for f in distinct if len(f) > position):
            return position
    return None


def _divide(folders: Folders, split_at: int | None) -> tuple[str | None, Folders]:
    """The split of a path, and its folders without the split's."""
    if split_at is None or len(folders) <= split_at:
        return None, folders
    return split_word(folders[split_at]), folders[:split_at] + folders[split_at + 1 :]


def _find_wrapper(inners: list[Folders]) -> Folders:
    """Folders that all classes lie in, such as `data` of data/cat and data/dog."""
    depth = 0
    while inners and all(len(i) > depth + 1 and i[: depth + 1] == inners[0][: depth + 1] for i in inners):
        depth += 1
    return inners[0][:depth] if depth else ()


def _find_rule(inners: list[Folders], wrapper: Folders, root: Path) -> ClassRule:
    """The rule under which the folders tell pictures apart, where it is one."""
    pairs = {(inner[0], inner[-1]) for inner in inners if inner}
    tops, parents = ({pair[side] for pair in pairs} for side in (0, 1))
    if len(tops) == len(parents) == len(pairs) or len(tops) == 1:
        return "parent"
    if len(parents) == 1 and all(SUBJECT.fullmatch(top) for top in tops):
        return "none"
    if len(parents) == 1 or (_are_dates(parents) and not _are_dates(tops)):
        return "top"
    if _are_dates(tops) and not _are_dates(parents):
        return "parent"
    raise UserError(
        f"{root.joinpath(*wrapper)}: classes are ambiguous: {_some(tops)} by `classes: top` (the topmost folder), or "
        f"{_some(parents)} by `classes: parent` (the folder that a file is in); declare one of them, or "
        "`classes: none`, in the data set's entry (make init ... CLASSES=top)"
    )


def _are_dates(names: Collection[str]) -> bool:
    """Whether folders are years, months or days, such as 2020 or 2020-05: these are no classes where others are."""
    return all(DATE.fullmatch(name) for name in names)


def _refuse_domains(distinct: set[Folders], root: Path) -> None:
    """Refuse domains that are divided by their names alone: trainA and testA, train_horse and test_horse, cat_test."""
    first = {f[0] for f in distinct if f}
    letters = {name for name in first if PART_OF_SPLIT.fullmatch(name.lower())}
    halves = [half for name in first if (half := _half_split(name))]
    divided = len(halves) == len(first) and len({rest for _, rest in halves}) < len(halves)
    if (letters and all(split_word(name) or name in letters for name in first)) or divided:
        raise UserError(
            f"{root}: the folders {_some(first)} are splits or classes; declare `classes: parent` (each is a class) or "
            "`classes: none` in the data set's entry (make init ... CLASSES=none), or move the files to train/A, "
            "train/B, test/A, test/B, which keeps the test split"
        )


def _half_split(name: str) -> tuple[str, str] | None:
    """The split that a name begins or ends with, and the rest of it; None where it does not, or is a split's alone."""
    tokens = [token for token in re.split(r"[\W_]+", name.lower()) if token]
    for at in (0, -1) if len(tokens) > 1 else ():
        if split := SPLIT_WORDS.get(tokens[at]):
            return split, " ".join(tokens[1:] if at == 0 else tokens[:-1])
    return None


def _refuse_other_than_splits(distinct: set[Folders], root: Path) -> None:
    """Refuse train and test beside a folder that is neither: as a class of its own it would be taken for one."""
    first = {f[0] for f in distinct if f}
    splits = {name for name in first if split_word(name)}
    if len(words := {split_word(name) for name in splits}) > 1 and "train" in words:
        raise UserError(
            f"{root}: the folders {_some(splits)} are splits, but {_some(first - splits)} is none; rename it to one of "
            "train, val, test, or move it out; or declare `classes: parent` or `classes: none` in the data set's "
            "entry, which keeps no test split (make init ... CLASSES=parent)"
        )


def _refuse_masks(parents: Collection[str], root: Path) -> None:
    """Refuse pictures beside their masks: they are no two classes."""
    originals = {name for name in parents if ORIGINALS.fullmatch(name.lower())}
    masks = {name for name in parents if MASKS.fullmatch(name.lower())}
    if originals and masks and originals | masks == set(parents):
        raise UserError(
            f"{root}: {_some(masks)} look like masks of what is in {_some(originals)}; move them out, or give the "
            "folder of the pictures alone as DATA; or declare `classes: parent` in the data set's entry, which makes "
            "classes of them (make init ... CLASSES=parent)"
        )


def _some(names: Collection[str]) -> str:
    more = f", ... ({len(names)})" if len(names) > SHOWN else ""
    return ", ".join(sorted(names)[:SHOWN]) + more
