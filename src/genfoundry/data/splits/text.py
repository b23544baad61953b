"""A stream of characters on a device, its windows as samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genfoundry.errors import UserError
from genfoundry.splits import groups_in
from genfoundry.types import Batch, Spec

if TYPE_CHECKING:
    from torch import Tensor


class Split:
    """A stream of codes; items are windows side by side, positions are every offset of a window."""

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
            raise UserError("data: levels and binarise are for images; text has its alphabet")
        self.name, self.tensor, self.spec, self._held = name, tensors["x"], spec, tensors
        self.window = spec.shape[0]

    def __len__(self) -> int:
        return len(self.tensor) // self.window

    @property
    def positions(self) -> int:
        """Offsets at which a whole window starts."""
        return len(self.tensor) - self.window + 1

    @property
    def groups(self) -> Tensor:
        """(N,) int64: the unit of text that each window begins in."""
        return groups_in(self._held, len(self))

    def eval_batch(self, index: Tensor) -> Batch:
        """Windows side by side."""
        return self.train_batch(index * self.window)

    def train_batch(self, position: Tensor) -> Batch:
        """Windows at any offset."""
        return self.stream_batch(position, self.window)

    def stream_batch(self, position: Tensor, length: int) -> Batch:
        """Characters from these positions on."""
        import torch

        within = torch.arange(length, device=position.device)  # of evaluation items: the CPU, wherever the text is
        return Batch(self.tensor[position[:, None] + within].long())  # (B, T)
