"""A split of tensors that are given from Python, for training and evaluation without a prepared data set."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING

from genfoundry.errors import UserError
from genfoundry.types import Batch, Spec

if TYPE_CHECKING:
    from torch import Tensor


class InMemorySplit:
    """Items in memory; an item, and a training position, is a row of the batch.

    Args:
        items: all items, on one device.
        spec: what one of them is.
        name: of the split; random draws are seeded by it.
    """

    def __init__(self, items: Batch, spec: Spec, name: str = "train") -> None:
        self.items, self.spec, self.name, self.whole = items, spec, name, items.x

    def __len__(self) -> int:
        return len(self.items)

    @property
    def positions(self) -> int:
        """Number of training positions."""
        return len(self.items)

    @property
    def groups(self) -> Tensor:
        """(N,) int64: each item is an independent unit."""
        import torch

        return torch.arange(len(self))

    def batch(self, index: Tensor) -> Batch:
        """The items at `index` (B,)."""
        rows = {f.name: v[index.to(v.device)] for f in fields(Batch) if (v := getattr(self.items, f.name)) is not None}
        return replace(self.items, **rows)

    crop = batch


def infer_spec(items: Batch, levels: int | None) -> Spec:
    """The spec of items (N, *shape); `levels` is that of integer data, and None of real values.

    Raises:
        UserError: `levels` does not fit the data, or the items are windows of a series.
    """
    x, label = items.x, items.label
    if x.ndim == 3:
        raise UserError(f"data: expected a prepared data set of a series, got windows {tuple(x.shape)}")
    if x.is_floating_point() != (levels is None):
        raise UserError(f"levels: expected a number for integer data alone, got {levels} for {x.dtype}")
    if levels is not None and not 0 <= int(x.min()) <= int(x.max()) < levels:
        raise UserError(f"levels: expected values from 0 to {levels - 1}, got {int(x.min())} to {int(x.max())}")
    counts = tuple(label[label >= 0].bincount().tolist()) if label is not None else ()
    cond = None if items.cond is None else tuple(items.cond.shape[1:])
    return Spec(tuple(x.shape[1:]), levels, len(counts), counts, cond, levels if cond else None)
