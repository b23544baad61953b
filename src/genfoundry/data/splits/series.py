"""A stretch of time on a device, its windows as samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from genfoundry.errors import UserError
from genfoundry.types import Batch, Spec

if TYPE_CHECKING:
    from torch import Tensor

Ints = NDArray[np.int64]
FEW = 5  # blocks that a held-out split has, if there are rows for as many windows


def items(split: str, rows: int, window: int) -> tuple[Ints, Ints]:
    """Offsets (N,) at which the evaluation items of a split start, and the block (N,) that each lies in.

    Train's are windows side by side, a block each. A held-out split has blocks of `window + 1` rows or more, evenly
    apart, and two forecasts in each, from origins a row apart. No two blocks share a row, so that errors of good
    forecasts are independent between blocks, and blocks do not start in step with a season, as windows side by side do.
    More origins in a block, or origins everywhere, tell equal models apart more often than is said: within a block
    forecasts depend on what earlier ones were missed by, and few blocks do not average that out
    (tests/data/test_origins.py). Where rows are so few, there are fewer than `FEW` blocks, of one window each.
    """
    if rows < window:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    if split == "train":
        number = np.arange(rows // window)
        return number * window, number
    count = max(rows // (window + 1), min(FEW, rows // window))
    each = min(2, rows // count - window + 1)  # origins of a block
    first = np.arange(count) * (rows - window - each + 1) // max(count - 1, 1)
    return (first[:, None] + np.arange(each)).ravel(), np.repeat(np.arange(count), each)


class Split:
    """A stretch of time with what came before it; a sample is a window and its context, all of it float64.

    Evaluation items are those of `items`; `groups` (N,) is the block of each, `origins` (N,) the number of its first
    row. Where the past has a column more than the window, it is the rows' numbers. Rows are counted from train's first.
    """

    def __init__(
        self,
        name: str,
        tensors: dict[str, Tensor],
        spec: Spec,
        levels: int | None,
        binarise: str | None,
        flip: bool = False,
    ) -> None:
        import torch

        if levels is not None or binarise is not None:
            raise UserError("data: levels and binarise are for images; a series has real values")
        self.name, self.spec, self.tensor = name, spec, tensors["x"]  # (L, D)
        self.window = spec.shape[0]
        self.context = spec.cond_shape[0] if spec.cond_shape else 0
        self.values = torch.cat([tensors["past"], tensors["x"]])
        self.season, self.scale = int(tensors["season"]), tensors["scale"]
        self.start = int(tensors["first"])  # the number of the split's first row
        number = self.start - len(tensors["past"])  # of the first of `values`
        rows = torch.arange(len(self.values), device=self.values.device) + number
        numbered = self.context and spec.cond_shape is not None and spec.cond_shape[1] > spec.shape[1]
        self.before = torch.cat([self.values, rows[:, None].double()], 1) if numbered else self.values
        self.first = max(len(tensors["past"]), self.context)  # where the first window starts, in `values`
        starts, groups = items(name, len(self.values) - self.first, self.window)
        self.starts, self.groups = torch.from_numpy(starts), torch.from_numpy(groups)
        self.origins = self.starts + self.first + number

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def positions(self) -> int:
        """Offsets at which a whole window starts."""
        return max(0, len(self.values) - self.first - self.window + 1)

    def eval_batch(self, index: Tensor) -> Batch:
        """Evaluation items."""
        return self.train_batch(self.starts.to(index.device)[index])

    def train_batch(self, position: Tensor) -> Batch:
        """Windows at any offset."""
        import torch

        at = (position.to(self.values.device) + self.first)[:, None]
        after = torch.arange(self.window, device=at.device)
        before = torch.arange(-self.context, 0, device=at.device)
        cond = self.before[at + before] if self.context else None  # (B, P, D)
        return Batch(self.values[at + after], cond=cond)  # (B, T, D)
