"""Lines of text on a device, one a sample: code 0 is the end, and the padding after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from genfoundry.errors import UserError
from genfoundry.splits import groups_in
from genfoundry.types import Batch, Spec

if TYPE_CHECKING:
    from torch import Tensor

END = 0


def lengths(x: np.ndarray) -> np.ndarray:
    """(N, T) -> (N,) characters up to and with the first end: what a figure a character divides by."""
    ends = np.concatenate([x == END, np.ones((len(x), 1), bool)], 1)
    found: np.ndarray = np.minimum(ends.argmax(1) + 1, x.shape[1])
    return found


class Split:
    """Lines on a device; an item, and a position, is a line."""

    def __init__(
        self,
        name: str,
        tensors: dict[str, Tensor],
        spec: Spec,
        levels: int | None,
        binarise: str | None,
        flip: bool = False,
    ) -> None:
        if levels is not None or binarise is not None:
            raise UserError("data: levels and binarise are for images; lines have their alphabet")
        self.name, self.tensor, self.spec, self._held = name, tensors["x"], spec, tensors

    def __len__(self) -> int:
        return len(self.tensor)

    @property
    def positions(self) -> int:
        """Lines."""
        return len(self.tensor)

    @property
    def groups(self) -> Tensor:
        """(N,) int64: the unit of text that each line is of."""
        return groups_in(self._held, len(self))

    def eval_batch(self, index: Tensor) -> Batch:
        """These lines."""
        x = self.tensor[index].long()
        before = (x == END).cumsum(1) - (x == END).long()  # (B, T): ends before this character
        return Batch(x, mask=before == 0)

    train_batch = eval_batch
