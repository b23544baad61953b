"""Text: documents (or paragraphs, or lines) assigned to splits as a whole, characters as codes, windows as samples."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from genfoundry import config, encoding
from genfoundry.data.base import HELD, SPLITS, Arrays, Prepared, files, groups_in, only
from genfoundry.data.grouping import assign_groups
from genfoundry.types import Batch, Spec, UserError

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

Unit = tuple[int, np.ndarray]  # the number of what goes to a split as a whole, and its codes (L,)
UNKNOWN = 255  # the code of a character outside the alphabet: validation refuses it before any training


def prepare(raw: Path, inbox: Path, dataset: config.Dataset, seed: int) -> Prepared:
    """Documents, cut into the declared units -> one stream of codes a split; a row a line that is not empty.

    A held-out split has whole windows alone (`fitted`), and each has the unit that it is of.
    """
    found, where = units(raw, inbox, dataset, seed)
    number = {text: i for i, text in enumerate(where)}
    splits = {}
    for split in SPLITS:
        parts = [(number[text], encode(text, dataset.alphabet)) for _, text in found if where[text] == split]
        splits[split] = stream(list(fitted(parts, dataset.window)) if split in HELD else parts, dataset.window)
    counts = {split: len(arrays["group"]) for split, arrays in splits.items()}
    spec = Spec((dataset.window,), len(dataset.alphabet))
    return Prepared(splits, spec, (), counts, describe(found, where, dataset.alphabet))


def fitted(parts: list[Unit], window: int) -> Iterator[Unit]:
    """The units less what fills no whole window, of a long one or of several in a row that are shorter than a window.

    Windows side by side then lie inside a unit, or touch short ones alone.
    """
    for long, run in groupby(parts, lambda unit: len(unit[1]) >= window):
        for together in ([unit] for unit in run) if long else [list(run)]:
            room = sum(len(codes) for _, codes in together) // window * window
            for number, codes in together:
                yield number, codes[:room]
                room = max(room - len(codes), 0)


def stream(parts: list[Unit], window: int) -> Arrays:
    """The units one after another: "x" (L,) uint8, and "group" (N,), the one that each of the windows begins in."""
    kept = [(number, codes) for number, codes in parts if len(codes)]
    x = np.concatenate([codes for _, codes in kept] or [np.zeros(0, np.uint8)])
    ends = np.cumsum([len(codes) for _, codes in kept])
    at = np.searchsorted(ends, np.arange(len(x) // window) * window, side="right")
    return {"x": x, "group": np.array([number for number, _ in kept], np.int64)[at]}


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
    lines = [line.rstrip() for line in encoding.decode(path, content).splitlines()]
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


def encode(text: str, alphabet: str) -> np.ndarray:
    """Codes (L,) uint8; UNKNOWN for what is outside the alphabet."""
    return _table(alphabet)[np.frombuffer(text.encode("utf-32-le"), np.uint32)]


@lru_cache(4)
def _table(alphabet: str) -> np.ndarray:
    """The code of every character that there is: made once, since a line is short and there are many."""
    table = np.full(0x110000, UNKNOWN, np.uint8)
    table[[ord(c) for c in alphabet]] = np.arange(len(alphabet))
    return table


def decode(codes: np.ndarray, alphabet: str) -> str:
    """The text of codes (T,)."""
    return "".join(alphabet[c] if c < len(alphabet) else "�" for c in codes.tolist())


def describe(documents: list[tuple[str, str]], where: dict[str, str], alphabet: str) -> pd.DataFrame:
    """One row a line that is not empty."""
    rows = ((where[text], name, line) for name, text in documents for line in text.splitlines() if line)
    return table(rows, alphabet)


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


class Split:
    """A stream of codes; items are windows side by side, positions are every offset of a window."""

    def __init__(
        self,
        name: str,
        tensors: dict[str, Tensor],
        spec: Spec,
        levels: int | None,
        binarise: str | None,
        flip: bool = False,
    ) -> None:
        if levels is not None or binarise is not None:
            raise UserError("data: levels and binarise are for images; text has its alphabet")
        self.name, self.whole, self.spec, self._held = name, tensors["x"], spec, tensors
        self.window = spec.shape[0]

    def __len__(self) -> int:
        return len(self.whole) // self.window

    @property
    def positions(self) -> int:
        """Offsets at which a whole window starts."""
        return len(self.whole) - self.window + 1

    @property
    def groups(self) -> Tensor:
        """(N,) int64: the unit of text that each window begins in."""
        return groups_in(self._held, len(self))

    def batch(self, index: Tensor) -> Batch:
        """Windows side by side."""
        return self.crop(index * self.window)

    def crop(self, position: Tensor) -> Batch:
        """Windows at any offset."""
        return self.piece(position, self.window)

    def piece(self, position: Tensor, length: int) -> Batch:
        """Characters from these positions on."""
        import torch

        within = torch.arange(length, device=position.device)  # of evaluation items: the CPU, wherever the text is
        return Batch(self.whole[position[:, None] + within].long())  # (B, T)
