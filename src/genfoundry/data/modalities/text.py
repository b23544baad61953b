"""Text: documents (or paragraphs, or lines) assigned to splits as a whole, characters as codes, windows as samples."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from genfoundry import config
from genfoundry.data.alphabet import encode
from genfoundry.data.preparation import Arrays, Prepared
from genfoundry.data.readers.documents import table, units
from genfoundry.splits import HELD_OUT, SPLITS
from genfoundry.types import Spec

if TYPE_CHECKING:
    import pandas as pd

Unit = tuple[int, np.ndarray]  # the number of what goes to a split as a whole, and its codes (L,)


def prepare(raw: Path, inbox: Path, dataset: config.Dataset, seed: int) -> Prepared:
    """Documents, cut into the declared units -> one stream of codes a split; a row a line that is not empty.

    A held-out split has whole windows alone (`fitted`), and each has the unit that it is of.
    """
    found, where = units(raw, inbox, dataset, seed)
    number = {text: i for i, text in enumerate(where)}
    splits = {}
    for split in SPLITS:
        parts = [(number[text], encode(text, dataset.alphabet)) for _, text in found if where[text] == split]
        splits[split] = stream(list(fitted(parts, dataset.window)) if split in HELD_OUT else parts, dataset.window)
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


def describe(documents: list[tuple[str, str]], where: dict[str, str], alphabet: str) -> pd.DataFrame:
    """One row a line that is not empty."""
    rows = ((where[text], name, line) for name, text in documents for line in text.splitlines() if line)
    return table(rows, alphabet)
