"""Lines of text, one a sample: its characters, then ends.

Code 0 is the newline: the end of a line, which a model has to learn, and then the padding up to `window`, which counts
nowhere. `Batch.mask` is true up to the first end. What is no line of the data set (longer than `window` - 1, or
without a letter) is left out and counted in the description table.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from genfoundry import config
from genfoundry.data.alphabet import pad_codes
from genfoundry.data.preparation import Prepared
from genfoundry.data.readers.documents import describe_lines, read_units
from genfoundry.data.split_assignment import number_groups
from genfoundry.data.splits.lines import END
from genfoundry.errors import UserError
from genfoundry.splits import SPLITS
from genfoundry.types import Spec


def prepare(raw: Path, inbox: Path, dataset: config.Dataset, seed: int) -> Prepared:
    """The lines of every unit, in the unit's split, with the number of the unit; the table has a row a line."""
    units, split_of = read_units(raw, inbox, dataset, seed)
    lines = [(split_of[text], name, line) for name, text in units for line in strip_lines(text)]
    mask = np.array([fits(line, dataset.window) for _, _, line in lines])
    if not mask.any():
        raise UserError(
            f"{raw}: expected lines with a letter of up to {dataset.window - 1} characters, got none; raise window"
        )
    number = np.flatnonzero(mask)
    dropped = np.diff(number, prepend=-1) - 1  # lines left out just before each
    dropped[-1] += len(mask) - 1 - number[-1]
    rows = [lines[i] for i in number]
    split = np.array([row[0] for row in rows])
    x = pad_codes([line for _, _, line in rows], dataset.alphabet, dataset.window, END)  # (N, T)
    group = number_groups([text for _, text in units for _ in strip_lines(text)])[mask]
    arrays = {name: {"x": x[split == name], "group": group[split == name]} for name in SPLITS}
    counts = {name: int((split == name).sum()) for name in SPLITS}
    table = describe_lines(rows, dataset.alphabet).assign(dropped=dropped)
    return Prepared(arrays, Spec((dataset.window,), len(dataset.alphabet)), (), counts, table)


def strip_lines(text: str) -> Iterator[str]:
    """The lines that are not empty, without blanks around them."""
    return filter(None, (line.strip() for line in text.split("\n")))


def fits(line: str, window: int) -> bool:
    """Whether a line has a letter, and room for its end."""
    return len(line) < window and any(c.isalpha() for c in line)
