"""Documents of text: read, normalised, cut into units that go to a split as a whole, and described by their lines."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from genfoundry import config
from genfoundry import files as files_module
from genfoundry.data.alphabet import UNKNOWN
from genfoundry.data.readers.listing import files, only
from genfoundry.data.split_assignment import assign_groups
from genfoundry.errors import UserError

if TYPE_CHECKING:
    import pandas as pd


def units(raw: Path, inbox: Path, dataset: config.Dataset, seed: int) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """(name, text) of every unit that goes to a split as a whole, in order, and the split of each text.

    Raises:
        UserError: no text, a file that is not text, or an alphabet with a character twice or with too many.
    """
    old = read(raw)
    if not old:
        raise UserError(f"{raw}: no text; .txt files are read")
    only(inbox, ".txt")
    known = {text for _, text in old}
    new: list[tuple[str, str]] = []
    for name, text in read(inbox):
        if text not in known:  # an inbox may bring again what is there; it does not count twice
            known.add(text)
            new.append((name, text))
    if len(dataset.alphabet) > UNKNOWN or len(set(dataset.alphabet)) < len(dataset.alphabet):
        raise UserError(f"alphabet: {len(dataset.alphabet)} characters; up to {UNKNOWN} different ones are right")
    found = [(name, unit) for name, text in old + new for unit in cut(text, dataset.unit)]
    content = {text: hashlib.sha256(text.encode()).digest() for _, text in found}
    raw_units = {content[unit] for _, text in old for unit in cut(text, dataset.unit)}
    split_of = assign_groups(seed, raw_units, content.values(), dataset, False)
    return found, {text: split_of[digest] for text, digest in content.items()}


def read(folder: Path) -> list[tuple[str, str]]:
    """(name, text) of every document, in one order everywhere.

    Raises:
        UserError: an empty document, bytes that are not UTF-8.
    """
    found = [(p.relative_to(folder).as_posix(), p.read_bytes()) for p in files(folder, ".txt")]
    return [(name, normal(folder / name, content)) for name, content in found]


def normal(path: Path, content: bytes) -> str:
    """The text with one kind of line end, no blanks at line ends, at most one empty line in a row.

    Raises:
        UserError: neither UTF-8 nor UTF-16, a NUL, or nothing but blanks.
    """
    lines = [line.rstrip() for line in files_module.decode_text(path, content).splitlines()]
    kept = [line for i, line in enumerate(lines) if line or (i and lines[i - 1])]
    text = "\n".join(kept).strip("\n")
    if not text.strip():
        raise UserError(f"{path}: the text is empty; a document holds at least one line")
    return text + "\n\n"


def cut(text: str, unit: str) -> list[str]:
    """What goes to a split as a whole, in order: the document, its paragraphs (empty lines between) or its lines."""
    if unit == "document":
        return [text]
    if unit == "line":
        return [f"{line}\n" for line in text.splitlines() if line]
    return [f"{part}\n\n" for part in text.split("\n\n") if part.strip()]


def table(rows: Iterable[tuple[str, str, str]], alphabet: str) -> pd.DataFrame:
    """One row a line: (split, file, line)."""
    import pandas as pd

    allowed = set(alphabet)
    about = []
    for split, name, line in rows:
        digest = hashlib.sha256(line.encode()).hexdigest()[:16]
        distinct = set(line)
        unknown = sum(c not in allowed for c in line) if distinct - allowed else 0
        about.append((split, len(line), len(distinct), unknown, digest, name))
    found = pd.DataFrame(about, columns=["split", "length", "distinct", "unknown", "digest", "source"])
    for column in ("min", "max", "mean", "spread", "time"):
        found[column] = np.nan
    return found.assign(label=-1, finite=True)
