"""A stream of characters, its windows as samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genfoundry.data.splits.base import SplitOptions, TensorSplit
from genfoundry.types import Batch, Spec

if TYPE_CHECKING:
    from torch import Tensor


class TextSplit(TensorSplit):
    """A stream of codes (L,); items are windows side by side, and a window's group is the unit that it begins in."""

    def __init__(
        self, name: str, tensors: dict[str, Tensor], spec: Spec, options: SplitOptions = SplitOptions()
    ) -> None:
        super().__init__(name, tensors, spec, options)
        self.window = spec.shape[0]

    def __len__(self) -> int:
        return len(self.tensor) // self.window

    @property
    def positions(self) -> int:
        """Number of offsets at which a full window starts."""
        return len(self.tensor) - self.window + 1

    def eval_batch(self, index: Tensor) -> Batch:
        """Windows side by side."""
        return self.train_batch(index * self.window)

    def train_batch(self, position: Tensor) -> Batch:
        """Windows at any offset."""
        return self.stream_batch(position, self.window)

    def stream_batch(self, position: Tensor, length: int) -> Batch:
        """`length` characters from each offset on."""
        import torch

        within = torch.arange(length, device=position.device)  # evaluation indexes from the CPU, wherever the text is
        return Batch(self.tensor[position[:, None] + within].long())  # (B, T)
