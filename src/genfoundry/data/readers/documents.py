"""Documents of text: read, normalised, cut into units that go to a split as a whole, and described by their lines."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from genfoundry import config
from genfoundry.data.alphabet import UNKNOWN, check_alphabet
from genfoundry.data.readers.listing import list_files, require_suffixes
from genfoundry.data.split_assignment import assign_groups
from genfoundry.errors import UserError
from genfoundry.files import decode_text

if TYPE_CHECKING:
    import pandas as pd


def read_units(
    raw: Path, inbox: Path, dataset: config.Dataset, seed: int
) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """Read (name, text) of every unit, in order, and assign each text a split.

    A unit goes to one split: a document, paragraph or line, as the entry says.

    Raises:
        UserError: no text, a file that is not text, or an alphabet with a character twice or with too many.
    """
    old = read_documents(raw)
    if not old:
        raise UserError(f"{raw}: expected .txt files, got none")
    require_suffixes(inbox, ".txt")
    new: dict[str, str] = {}  # by text: an inbox may bring a document again, which does not count twice
    for name, text in read_documents(inbox):
        new.setdefault(text, name)
    texts = {text for _, text in old}
    added = [(name, text) for text, name in new.items() if text not in texts]
    check_alphabet(dataset.alphabet, UNKNOWN)
    units = [(name, unit) for name, text in old + added for unit in cut_units(text, dataset.unit)]
    content = {text: hashlib.sha256(text.encode()).digest() for _, text in units}
    raw_units = {content[unit] for _, text in old for unit in cut_units(text, dataset.unit)}
    split_of = assign_groups(seed, raw_units, content.values(), dataset, False)
    return units, {text: split_of[digest] for text, digest in content.items()}


def read_documents(folder: Path) -> list[tuple[str, str]]:
    """Read (name, text) of every document, in one order everywhere.

    Raises:
        UserError: an empty document, bytes that are not UTF-8.
    """
    paths = list_files(folder, ".txt")
    return [(path.relative_to(folder).as_posix(), normalise(path, path.read_bytes())) for path in paths]


def normalise(path: Path, content: bytes) -> str:
    """Normalise a text: one kind of line end, no blanks at line ends, at most one empty line in a row.

    Raises:
        UserError: neither UTF-8 nor UTF-16, a NUL, or nothing but blanks.
    """
    lines = [line.rstrip() for line in decode_text(path, content).splitlines()]
    lines = [line for i, line in enumerate(lines) if line or (i and lines[i - 1])]
    text = "\n".join(lines).strip("\n")
    if not text.strip():
        raise UserError(f"{path}: expected one line of text or more, got none")
    return text + "\n\n"


def cut_units(text: str, unit: str) -> list[str]:
    """Cut a text into what goes to one split: the document, its paragraphs (empty lines between) or its lines."""
    if unit == "document":
        return [text]
    if unit == "line":
        return [f"{line}\n" for line in text.splitlines() if line]
    return [f"{part}\n\n" for part in text.split("\n\n") if part.strip()]


def describe_lines(rows: Iterable[tuple[str, str, str]], alphabet: str) -> pd.DataFrame:
    """The description table of lines (split, file, line): a row each."""
    import pandas as pd

    allowed = set(alphabet)
    records = []
    for split, name, line in rows:
        digest = hashlib.sha256(line.encode()).hexdigest()[:16]
        distinct = set(line)
        unknown = sum(c not in allowed for c in line) if distinct - allowed else 0
        records.append((split, len(line), len(distinct), unknown, digest, name))
    table = pd.DataFrame(records, columns=["split", "length", "distinct", "unknown", "digest", "source"])
    for column in ("min", "max", "mean", "spread", "time"):
        table[column] = np.nan
    return table.assign(label=-1, finite=True)
