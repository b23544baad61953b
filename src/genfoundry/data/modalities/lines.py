"""Lines of text, one a sample: its characters, then ends.

Code 0 is the newline: the end of a line, which a model has to learn, and then the padding up to `window`, which counts
nowhere. `Batch.mask` is true up to the first end. What is no line of the data set (longer than `window` - 1, or
without a letter) is left out and counted in the description table.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from genfoundry import config
from genfoundry.data.alphabet import encode
from genfoundry.data.preparation import Prepared
from genfoundry.data.readers.documents import table, units
from genfoundry.data.split_assignment import numbered
from genfoundry.data.splits.lines import END
from genfoundry.errors import UserError
from genfoundry.splits import SPLITS
from genfoundry.types import Spec

if TYPE_CHECKING:
    pass


def prepare(raw: Path, inbox: Path, dataset: config.Dataset, seed: int) -> Prepared:
    """The lines of every unit, in the unit's split, with the number of the unit; a row a line."""
    found, where = units(raw, inbox, dataset, seed)
    kept = [(where[text], name, line) for name, text in found for line in stripped(text)]
    fits = np.array([good(line, dataset.window) for _, _, line in kept])
    if not fits.any():
        raise UserError(f"{raw}: no line with a letter has {dataset.window - 1} characters or fewer; raise window")
    number = np.flatnonzero(fits)
    dropped = np.diff(number, prepend=-1) - 1
    dropped[-1] += len(fits) - 1 - number[-1]
    rows = [kept[i] for i in number]
    split = np.array([row[0] for row in rows])
    x = codes([line for _, _, line in rows], dataset.alphabet, dataset.window)
    counts = {name: int((split == name).sum()) for name in SPLITS}
    spec = Spec((dataset.window,), len(dataset.alphabet))
    described = table(rows, dataset.alphabet).assign(dropped=dropped)
    group = numbered([text for _, text in found for _ in stripped(text)])[fits]
    arrays = {name: {"x": x[split == name], "group": group[split == name]} for name in SPLITS}
    return Prepared(arrays, spec, (), counts, described)


def stripped(text: str) -> Iterator[str]:
    """The lines that are not empty, without blanks around them."""
    return filter(None, (line.strip() for line in text.split("\n")))


def good(line: str, window: int) -> bool:
    """Whether a line has a letter, and room for its end."""
    return len(line) < window and any(c.isalpha() for c in line)


def codes(lines: list[str], alphabet: str, width: int) -> np.ndarray:
    """(N, width) uint8, filled up with ends."""
    grid = np.full((len(lines), width), END, np.uint8)
    for row, line in zip(grid, lines, strict=True):
        row[: len(line)] = encode(line, alphabet)
    return grid
