"""Pictures with the metadata of emoji-datasource (github.com/iamcal/emoji-data): classes, and groups of variants.

Its emoji.json lists every emoji with its picture and its category, which is the class, and beside it the variants by
skin tone. Emoji are sequences of code points (Unicode Technical Standard 51), so that variants by hair, gender and
direction are told by what is left of a sequence without the code points for these.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from genfoundry.data.readers import images
from genfoundry.data.readers.arrays import Array, ImageSet
from genfoundry.data.readers.images import SUFFIXES, Form
from genfoundry.data.readers.listing import list_files
from genfoundry.errors import UserError

METADATA = "emoji.json"
PERSON, CHILD, HEART, KISS_MARK, HANDSHAKE = 0x1F9D1, 0x1F9D2, 0x2764, 0x1F48B, 0x1F91D
COUPLE, HOLDING_HANDS, FAMILY = 0x1F491, 0x1F46B, 0x1F46A
# Joiner, presentation, skin tones, hair, gender signs, "facing right": of them alone nothing else is drawn.
MODIFIERS = {0x200D, 0xFE0F, *range(0x1F3FB, 0x1F400), *range(0x1F9B0, 0x1F9B4), 0x2640, 0x2642, 0x27A1}
SWATCH = 0x1F3FB  # the skin tones by themselves are one emoji, too
# Code points that are drawn as another one but for gender or hair.
SAME = {
    **dict.fromkeys((0x1F468, 0x1F469, 0x1F471, 0x1F9D4), PERSON),  # man, woman, blond, with a beard
    **dict.fromkeys((0x1F466, 0x1F467), CHILD),
    **dict.fromkeys((0x1F474, 0x1F475), 0x1F9D3),  # older people
    **dict.fromkeys((0x1F478, 0x1F934), 0x1FAC5),  # with a crown
    **dict.fromkeys((0x1F930, 0x1FAC3), 0x1FAC4),  # pregnant
    **dict.fromkeys((0x1F46C, 0x1F46D), HOLDING_HANDS),
    0x1F936: 0x1F385,  # Claus
    0x1F57A: 0x1F483,  # dancers
    0x1F48F: COUPLE,  # a kiss is the couple with a heart, but for the mark
}
CLAUS = (PERSON, 0x1F384)


@dataclass(frozen=True)
class Entry:
    """What the metadata say of a picture: its category, and the emoji that it is a variant of."""

    category: str
    base: str


def find_base(unified: str) -> str:
    """The emoji that a sequence such as "1F469-1F3FD-200D-1F680" is a variant of; a key, itself no emoji in general."""
    points = [int(point, 16) for point in unified.split("-")]
    rest = tuple(SAME.get(point, point) for point in points if point not in MODIFIERS)
    if not rest:
        return f"{SWATCH if points[0] in range(0x1F3FB, 0x1F400) else points[0]:X}"
    people = sum(point in (PERSON, CHILD) for point in rest)
    if people > 1 and people == len(rest):
        rest = (FAMILY,)
    elif people > 1:
        rest = (HOLDING_HANDS if HANDSHAKE in rest else COUPLE,)
    elif rest == CLAUS:
        rest = (SAME[0x1F936],)
    return "-".join(f"{point:X}" for point in rest)


def read_metadata(path: Path) -> dict[str, Entry]:
    """Name of a picture -> its entry; a variant by skin tone is of its emoji's base.

    Raises:
        UserError: the file is not there, or is not the list that emoji-datasource writes.
    """
    try:
        listed: list[Mapping[str, Any]] = json.loads(path.read_bytes())
        entries: dict[str, Entry] = {}
        for emoji in listed:
            entry = Entry(str(emoji["category"]), find_base(emoji["unified"]))
            for picture in (emoji, *emoji.get("skin_variations", {}).values()):
                entries[picture["image"]] = entry
        return entries
    except OSError as error:
        raise UserError(f"{path}: expected the metadata of the pictures, got: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise UserError(
            f"{path}: expected a list of emoji with unified, category and image, as emoji-datasource has, got: {reason}"
        ) from None


def read_emoji(folder: Path, form: Form) -> list[ImageSet]:
    """A part for each picture; variants of one emoji, and emoji that are drawn alike, are of one group.

    Raises:
        UserError: a picture is damaged, or has no entry in the metadata.
    """
    entries, paths = read_metadata(folder / METADATA), list_files(folder, *SUFFIXES)
    names = [path.relative_to(folder).as_posix() for path in paths]
    unknown = [name for name, path in zip(names, paths, strict=True) if path.name not in entries]
    if unknown:
        raise UserError(
            f"{folder / unknown[0]}: expected an entry in {METADATA}, got none"
            + (f"; {len(unknown)} of {len(names)} pictures have none" if len(unknown) > 1 else "")
        )
    metadata, pictures = [entries[path.name] for path in paths], list(images.read_pictures(paths, form))
    classes = tuple(sorted({entry.category for entry in metadata}))
    bases = _merge_equal([entry.base for entry in metadata], pictures)
    parts = []
    for name, entry, picture, base in zip(names, metadata, pictures, bases, strict=True):
        label, group = np.array([classes.index(entry.category)]), hashlib.sha256(base.encode()).digest()
        parts.append(ImageSet(picture[None], label, False, name, group, names=classes))
    return parts


def _merge_equal(bases: list[str], pictures: list[Array]) -> list[str]:
    """The base of each picture, where bases that share a picture, such as the flags of some islands, become one."""
    parent = {base: base for base in bases}

    def find_root(base: str) -> str:
        while parent[base] != base:
            base = parent[base]
        return base

    first: dict[bytes, str] = {}
    for base, picture in zip(bases, pictures, strict=True):
        root, other = find_root(base), find_root(first.setdefault(picture.tobytes(), base))
        parent[max(root, other)] = min(root, other)
    return [find_root(base) for base in bases]
