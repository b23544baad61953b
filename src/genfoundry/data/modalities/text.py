"""Text: documents, paragraphs or lines go to one split each; characters become codes, windows samples."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np

from genfoundry import config
from genfoundry.data.alphabet import encode
from genfoundry.data.preparation import Arrays, Prepared
from genfoundry.data.readers.documents import describe_lines, read_units
from genfoundry.splits import HELD_OUT, SPLITS
from genfoundry.types import Spec

Unit = tuple[int, np.ndarray]  # the number of a document, paragraph or line, and its codes (L,)


def prepare(raw: Path, inbox: Path, dataset: config.Dataset, seed: int) -> Prepared:
    """Documents, cut into the declared units, as one stream of codes a split; the table has a row a line.

    A held-out split has full windows alone, each with the unit that it begins in.
    """
    texts, split_of = read_units(raw, inbox, dataset, seed)
    number = {text: i for i, text in enumerate(split_of)}
    splits = {}
    for split in SPLITS:
        units = [(number[text], encode(text, dataset.alphabet)) for _, text in texts if split_of[text] == split]
        units = list(cut_to_windows(units, dataset.window)) if split in HELD_OUT else units
        splits[split] = join_units(units, dataset.window)
    counts = {split: len(arrays["group"]) for split, arrays in splits.items()}
    lines = ((split_of[text], name, line) for name, text in texts for line in text.splitlines() if line)
    spec = Spec((dataset.window,), len(dataset.alphabet))
    return Prepared(splits, spec, (), counts, describe_lines(lines, dataset.alphabet))


def cut_to_windows(units: list[Unit], window: int) -> Iterator[Unit]:
    """The units less what fills no full window, of a long one or of several in a row that are shorter than a window.

    Windows side by side then lie inside a unit, or touch short ones alone.
    """
    for long, run in groupby(units, lambda unit: len(unit[1]) >= window):
        for joined in ([unit] for unit in run) if long else [list(run)]:
            room = sum(len(codes) for _, codes in joined) // window * window
            for number, codes in joined:
                yield number, codes[:room]
                room = max(room - len(codes), 0)


def join_units(units: list[Unit], window: int) -> Arrays:
    """The units one after another: "x" (L,) uint8, and "group" (N,), the unit that each of the windows begins in."""
    units = [(number, codes) for number, codes in units if len(codes)]
    x = np.concatenate([codes for _, codes in units] or [np.zeros(0, np.uint8)])
    ends = np.cumsum([len(codes) for _, codes in units])
    at = np.searchsorted(ends, np.arange(len(x) // window) * window, side="right")
    return {"x": x, "group": np.array([number for number, _ in units], np.int64)[at]}
