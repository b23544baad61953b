"""Series: CSV with a time column and one or several numeric ones, split by time, windows as samples."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from genfoundry import config
from genfoundry.data.base import SPLITS, Prepared, files, only
from genfoundry.types import Batch, Spec, UserError

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

Table = tuple[tuple[str, ...], np.ndarray]  # column names, (L, 1 + D) float64: the time, then the values


def prepare(raw: Path, inbox: Path, dataset: config.Dataset, seed: int) -> Prepared:
    """Rows in time -> a stretch of time a split, each with the `context` rows before it.

    The stretches' borders come from the raw file's own span, so that they do not move when rows arrive; rows after its
    end extend the last stretch.
    """
    old = [read(path) for path in files(raw, ".csv", ".csv.gz")]
    if len(old) != 1:
        raise UserError(f"{raw}: {len(old)} .csv files; one is right")
    names, base = old[0]
    only(inbox, ".csv")
    more = [read(path) for path in files(inbox, ".csv")]
    for columns, _ in more:
        if columns != names:
            raise UserError(f"{inbox}: columns {', '.join(columns)}, but the series has {', '.join(names)}")
    rows = {row.tobytes(): row for row in base}  # the same row again is no news; another value for its time is refused
    rows |= {row.tobytes(): row for _, part in more for row in part if row.tobytes() not in rows}
    table = np.array(list(rows.values()))
    shares = dataset.split
    low, span = base[0, 0], base[-1, 0] - base[0, 0]
    borders = {s: low + span * (1 - share) for s, share in (
        ("val", shares.val + shares.gate + shares.test), ("gate", shares.gate + shares.test), ("test", shares.test)
    )}  # fmt: skip
    where = np.full(len(table), "train", dtype="<U5")
    for split, border in borders.items():
        where[table[:, 0] >= border] = split
    splits, counts = {}, {}
    for split in SPLITS:
        inside = np.flatnonzero(where == split)
        past = table[max(0, inside[0] - dataset.context) : inside[0], 1:] if len(inside) else table[:0, 1:]
        splits[split] = {"x": table[inside, 1:], "past": past}
        counts[split] = max(0, len(inside) + len(past) - dataset.context) // dataset.window
    width = len(names) - 1
    spec = Spec((dataset.window, width), None, cond_shape=(dataset.context, width) if dataset.context else None)
    return Prepared(splits, spec, names[1:], counts, describe(table, where, raw.name))


def read(path: Path) -> Table:
    """A CSV file with a header; the first column is the time, every cell a number.

    Raises:
        UserError: a value is missing or is text; says in which line and column.
    """
    from genfoundry.data.images import content

    rows = list(csv.reader(content(path).decode("utf-8-sig").splitlines()))
    if len(rows) < 2:
        raise UserError(f"{path}: no rows; a header and a row a time step are right")
    head, values = tuple(rows[0]), []
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(head):
            raise UserError(f"{path}:{number}: {len(row)} cells, but the header has {len(head)}")
        for name, cell in zip(head, row, strict=True):
            values.append(_number(cell, f"{path}:{number}: column {name}"))
    return head, np.array(values).reshape(-1, len(head))


def _number(cell: str, where: str) -> float:
    if not cell.strip() or cell.strip().lower() in ("na", "nan", "null"):
        raise UserError(f"{where}: the value is missing; fill it in or leave the row out")
    try:
        return float(cell)
    except ValueError:
        raise UserError(f"{where}: {cell!r} is not a number") from None


def describe(table: np.ndarray, where: np.ndarray, source: str) -> pd.DataFrame:
    """One row a time step, in the order of the files."""
    import pandas as pd

    values = table[:, 1:]
    rows = {
        "split": where.astype(object),
        "label": np.full(len(table), -1),
        "min": values.min(1),
        "max": values.max(1),
        "mean": values.mean(1),
        "spread": values.std(1),
        "length": np.full(len(table), values.shape[1]),
        "distinct": [len(np.unique(v)) for v in values],
        "unknown": np.zeros(len(table), np.int64),
        "time": table[:, 0],
        "finite": np.isfinite(table).all(1),
        "digest": [hashlib.sha256(row.tobytes()).hexdigest()[:16] for row in table],
        "source": source,
    }
    return pd.DataFrame(rows)


class Split:
    """A stretch of time with what came before it; a sample is a window and its context."""

    def __init__(
        self, name: str, tensors: dict[str, Tensor], spec: Spec, levels: int | None, binarise: str | None
    ) -> None:
        import torch

        if levels is not None or binarise is not None:
            raise UserError("data: levels and binarise are for images; a series has real values")
        self.name, self.spec, self.whole = name, spec, tensors["x"]  # (L, D) float64
        self.window = spec.shape[0]
        self.context = spec.cond_shape[0] if spec.cond_shape else 0
        self.values = torch.cat([tensors["past"], tensors["x"]])
        self.first = max(len(tensors["past"]), self.context)  # where the first window starts, in `values`

    def __len__(self) -> int:
        return max(0, len(self.values) - self.first) // self.window

    @property
    def positions(self) -> int:
        """Offsets at which a whole window starts."""
        return max(0, len(self.values) - self.first - self.window + 1)

    def batch(self, index: Tensor) -> Batch:
        """Windows side by side."""
        return self.crop(index * self.window)

    def crop(self, position: Tensor) -> Batch:
        """Windows at any offset."""
        import torch

        at = (position + self.first)[:, None]
        after = torch.arange(self.window, device=self.whole.device)
        before = torch.arange(-self.context, 0, device=self.whole.device)
        cond = self.values[at + before].float() if self.context else None  # (B, P, D)
        return Batch(self.values[at + after].float(), cond=cond)  # (B, T, D)
