"""A stretch of a time series, its windows as samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from genfoundry.data.splits.base import SplitOptions, TensorSplit
from genfoundry.types import Batch, Spec

if TYPE_CHECKING:
    from torch import Tensor

Ints = NDArray[np.int64]
MIN_BLOCKS = 5  # of a held-out split, if it has rows for as many windows
ORIGINS = 2  # forecast origins in a block


def eval_windows(split: str, rows: int, window: int) -> tuple[Ints, Ints]:
    """Offsets (N,) at which the evaluation windows of a split start, and the block (N,) that each lies in.

    Train's are windows side by side, a block each. A held-out split has blocks of `window + 1` rows or more, evenly
    apart, with forecasts from `ORIGINS` origins a row apart in each. No two blocks share a row, so that errors of good
    forecasts are independent between blocks; and blocks do not start in step with a season, as windows side by side do.
    With more origins in a block, or origins everywhere, equal models would be told apart more often than the interval
    says: errors within a block depend on each other, and few blocks do not average that out
    (tests/data/test_origins.py). A short split has fewer than `MIN_BLOCKS` blocks, of one window each.
    """
    if rows < window:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    if split == "train":
        block = np.arange(rows // window)
        return block * window, block
    blocks = max(rows // (window + 1), min(MIN_BLOCKS, rows // window))
    origins = min(ORIGINS, rows // blocks - window + 1)
    first = np.arange(blocks) * (rows - window - origins + 1) // max(blocks - 1, 1)
    return (first[:, None] + np.arange(origins)).ravel(), np.repeat(np.arange(blocks), origins)


class SeriesSplit(TensorSplit):
    """A stretch of time with what came before it; a sample is a window and its context, all of it float64.

    Evaluation items are those of `eval_windows`, whose blocks are the groups. Where the condition has a column more
    than the window, it holds row numbers. Rows are counted from train's first.

    Attributes:
        values: (P + L, D) the rows before the split and its own.
        season: rows after which train repeats itself, 0 for none.
        scale: (D,) train's mean absolute error of the value a season ago: the unit of scaled errors.
        start: the number of the split's first row.
        origins: (N,) the number of each window's first row.
    """

    def __init__(
        self, name: str, tensors: dict[str, Tensor], spec: Spec, options: SplitOptions = SplitOptions()
    ) -> None:
        import torch

        super().__init__(name, tensors, spec, options)
        self.window = spec.shape[0]
        self.context = spec.cond_shape[0] if spec.cond_shape else 0
        self.values = torch.cat([tensors["past"], self.tensor])
        self.season, self.scale = int(tensors["season"]), tensors["scale"]
        self.start = int(tensors["first"])
        first_row = self.start - len(tensors["past"])  # the number of the first of `values`
        rows = torch.arange(len(self.values), device=self.values.device) + first_row
        numbered = self.context and spec.cond_shape is not None and spec.cond_shape[1] > spec.shape[1]
        self.history = torch.cat([self.values, rows[:, None].double()], 1) if numbered else self.values
        self.first = max(len(tensors["past"]), self.context)  # where the first window starts, in `values`
        starts, blocks = eval_windows(name, len(self.values) - self.first, self.window)
        self.starts, self._blocks = torch.from_numpy(starts), torch.from_numpy(blocks)
        self.origins = self.starts + self.first + first_row

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def groups(self) -> Tensor:
        """(N,) int64: the block of each window."""
        return self._blocks

    @property
    def positions(self) -> int:
        """Number of offsets at which a full window starts."""
        return max(0, len(self.values) - self.first - self.window + 1)

    def eval_batch(self, index: Tensor) -> Batch:
        """The evaluation windows at `index`."""
        return self.train_batch(self.starts.to(index.device)[index])

    def train_batch(self, position: Tensor) -> Batch:
        """Windows at any offset."""
        import torch

        start = (position.to(self.values.device) + self.first)[:, None]
        after = torch.arange(self.window, device=start.device)
        before = torch.arange(-self.context, 0, device=start.device)
        cond = self.history[start + before] if self.context else None  # (B, P, D)
        return Batch(self.values[start + after], cond=cond)  # (B, T, D)
