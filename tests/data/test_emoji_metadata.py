"""Emoji: classes and groups of variants by their metadata, alpha on white, and what is said of a bad folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from genfoundry import config
from genfoundry.data.dataset import Dataset
from genfoundry.data.readers.emoji_metadata import find_base
from genfoundry.errors import UserError
from genfoundry.splits import SPLITS

Prepare = Callable[..., Dataset]
TONES = [f"1F3F{tone}" for tone in "BCDEF"]
PEOPLE = "People & Body"


def entry(**more: object) -> config.Dataset:
    about = {"modality": "images", "raw": "emoji", "metadata": "emoji", "size": 8, "colour": "rgb"}
    return config.Dataset.model_validate({**about, "split": {"val": 0.2, "gate": 0.2, "test": 0.2}, **more})


def draw(path: Path, value: int) -> None:
    """A square of one colour in the middle of a transparent picture."""
    rgba = np.zeros((8, 8, 4), np.uint8)
    rgba[2:6, 2:6] = (value, 255 - value, value // 2, 255)
    Image.fromarray(rgba).save(path)


def write(raw: Path) -> None:
    """Sixteen things, and six jobs of man, woman and person in six tones each."""
    raw.mkdir()
    listed: list[dict[str, Any]] = []
    for number in range(16):
        listed.append({"unified": f"1F34{number:X}", "category": "Food & Drink", "image": f"food-{number}.png"})
        draw(raw / f"food-{number}.png", number)
    for job in ("1F33E", "1F373", "1F393", "1F3A4", "1F3A8", "1F3EB"):
        for person in ("1F468", "1F469", "1F9D1"):
            images = {tone: {"image": f"{person}-{tone}-{job}.png"} for tone in TONES}
            emoji = {"unified": f"{person}-200D-{job}", "category": PEOPLE, "image": f"{person}-{job}.png"}
            listed.append({**emoji, "skin_variations": images})
            for image in (emoji, *images.values()):
                draw(raw / image["image"], len(list(raw.glob("*.png"))))
    (raw / "emoji.json").write_text(json.dumps(listed))


VARIANTS = {
    "skin": (["270B", "270B-1F3FB", "270B-1F3FF"], "270B"),
    "people": (["1F468", "1F469-1F3FD", "1F9D1", "1F471-200D-2642-FE0F", "1F9D4", "1F469-200D-1F9B0"], "1F9D1"),
    "jobs": (["1F468-200D-1F680", "1F469-1F3FC-200D-1F680", "1F9D1-200D-1F680"], "1F9D1-1F680"),
    "gender signs": (["26F9-FE0F", "26F9-FE0F-200D-2640-FE0F", "26F9-1F3FB-200D-2642-FE0F"], "26F9"),
    "direction": (["1F6B6", "1F6B6-200D-2640-FE0F-200D-27A1-FE0F"], "1F6B6"),
    "families": (["1F46A", "1F468-200D-1F466", "1F469-200D-1F469-200D-1F467", "1F9D1-200D-1F9D2-200D-1F9D2"], "1F46A"),
    "couples": (["1F491", "1F48F-1F3FB", "1F469-200D-2764-FE0F-200D-1F48B-200D-1F468"], "1F491"),
    "hands": (["1F46B", "1F46D-1F3FB", "1F9D1-200D-1F91D-200D-1F9D1"], "1F46B"),
    "Claus": (["1F385", "1F936-1F3FB", "1F9D1-200D-1F384"], "1F385"),
    "swatches": (["1F3FB", "1F3FE"], "1F3FB"),
    "gender itself": (["2640-FE0F"], "2640"),
    "an arrow": (["27A1-FE0F"], "27A1"),
}


@pytest.mark.parametrize("case", VARIANTS)
def test_variants_have_one_base(case: str) -> None:
    sequences, base = VARIANTS[case]
    assert {find_base(sequence) for sequence in sequences} == {base}


def test_other_emoji_have_another() -> None:
    every = [find_base(sequence) for sequence in ("1F466", "1F468", "1F475", "1F470", "1F935", "1F9D1-200D-1F692")]
    assert len(set(every)) == len(every)


def test_classes_are_categories_and_no_group_is_in_two_splits(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw")
    data = prepare(entry())
    assert data.meta["names"] == ["Food & Drink", PEOPLE] and data.spec.shape == (3, 8, 8)
    found = []
    for split in map(data.split, SPLITS):
        groups, sizes = split.groups.unique(return_counts=True)
        labels = [split.label[split.groups == group].unique().tolist() for group in groups]
        assert sizes.tolist() == [18 if label == [1] else 1 for label in labels]
        found += groups.tolist()
    assert len(set(found)) == len(found) == 16 + 6


def test_what_is_transparent_is_white(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw")
    x = prepare(entry()).split("train").tensor
    assert (x[:, :, 0] == 255).all() and (x[:, 0, 3, 3].int() + x[:, 1, 3, 3].int() == 255).all()


def test_emoji_that_are_drawn_alike_are_one_group(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw")
    for number in range(8):  # flags of islands, say
        draw(tmp_path / "raw" / f"food-{number}.png", 7)
    data = prepare(entry())
    pixels = [split.tensor[:, 0, 3, 3] for split in map(data.split, SPLITS)]
    assert sorted(int((x == 7).sum()) for x in pixels) == [0, 0, 0, 8]


def test_a_later_picture_has_the_class_of_its_folder(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw")
    (tmp_path / "inbox" / "Food & Drink").mkdir(parents=True)
    draw(tmp_path / "inbox" / "Food & Drink" / "pear.png", 250)
    data = prepare(entry())
    found = [(split.label[split.tensor[:, 0, 3, 3] == 250]) for split in map(data.split, SPLITS)]
    assert torch.cat(found).tolist() == [0]


def lose_metadata(raw: Path) -> None:
    (raw / "emoji.json").unlink()


def lose_entry(raw: Path) -> None:
    listed = json.loads((raw / "emoji.json").read_text())
    (raw / "emoji.json").write_text(json.dumps(listed[1:]))


def lose_category(raw: Path) -> None:
    (raw / "emoji.json").write_text('[{"unified": "1F34E", "image": "food-0.png"}]')


def lose_quotes(raw: Path) -> None:
    (raw / "emoji.json").write_text("[unified]")


def lose_pixels(raw: Path) -> None:
    (raw / "food-3.png").write_bytes((raw / "food-3.png").read_bytes()[:60])


FAULTS = {
    "no metadata": (lose_metadata, ["emoji.json: expected the metadata of the pictures", "No such file"]),
    "a picture without an entry": (lose_entry, ["food-0.png: expected an entry in emoji.json, got none"]),
    "an emoji without a category": (lose_category, ["emoji.json: expected a list of emoji", "no 'category'"]),
    "no JSON": (lose_quotes, ["emoji.json: expected a list of emoji", "Expecting value"]),
    "a damaged picture": (lose_pixels, ["food-3.png: not readable as an image"]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_folder_is_refused_in_words(tmp_path: Path, prepare: Prepare, fault: str) -> None:
    write(tmp_path / "raw")
    break_it, words = FAULTS[fault]
    break_it(tmp_path / "raw")
    with pytest.raises(UserError) as caught:
        prepare(entry())
    assert all(word in str(caught.value) for word in words)
