"""A split of tensors that are given from Python, for training and evaluation without a prepared data set."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from genfoundry.data.splits.base import TensorSplit
from genfoundry.errors import UserError
from genfoundry.types import Batch, Spec

if TYPE_CHECKING:
    from torch import Tensor


class InMemorySplit(TensorSplit):
    """Items in memory; an item, and a training position, is a row of the batch.

    Args:
        items: all items, on one device.
        spec: what one of them is.
        name: of the split; random draws are seeded by it.
    """

    def __init__(self, items: Batch, spec: Spec, name: str = "train") -> None:
        tensors = {f.name: value for f in fields(Batch) if (value := getattr(items, f.name)) is not None}
        super().__init__(name, tensors, spec)

    def eval_batch(self, index: Tensor) -> Batch:
        """The items at `index` (B,)."""
        return Batch(**{name: value[index.to(value.device)] for name, value in self.tensors.items()})


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
