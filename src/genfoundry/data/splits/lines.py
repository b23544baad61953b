"""Lines of text, one a sample: code 0 is the end of a line, and the padding after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from genfoundry.data.splits.base import TensorSplit
from genfoundry.types import Batch

if TYPE_CHECKING:
    from torch import Tensor

END = 0


def lengths(x: np.ndarray) -> np.ndarray:
    """(N, T) -> (N,) characters up to and with the first end: what a metric per character divides by."""
    ends = np.concatenate([x == END, np.ones((len(x), 1), bool)], 1)
    counts: np.ndarray = np.minimum(ends.argmax(1) + 1, x.shape[1])
    return counts


class LineSplit(TensorSplit):
    """Lines of codes (N, T); a line's group is the unit of text that it stands in."""

    def eval_batch(self, index: Tensor) -> Batch:
        """The lines at `index`; the mask is true up to and with the first end."""
        x = self.tensor[index].long()
        ends_before = (x == END).cumsum(1) - (x == END).long()  # (B, T)
        return Batch(x, mask=ends_before == 0)
