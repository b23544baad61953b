"""Batches whose rows go on where they ended a step before: for a model that carries its state along a text."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from genfoundry.data.base import Contiguous, Loader, Split
from genfoundry.types import Batch, UserError, counted

if TYPE_CHECKING:
    from torch import Tensor


class Streams(Loader):
    """Row b reads its own part of the data, `length` values a step; `Batch.fresh` tells which rows begin anew.

    All begin anew with an epoch, whose cuts are shifted by a draw of its own; besides, each does with probability
    `resets` a step, so that a model meets states of every age.
    """

    def __init__(self, split: Split, batch: int, key: tuple[object, ...], length: int, resets: float) -> None:
        super().__init__(split, batch, key)
        where = f"data.streams: {length}: {batch} streams (train.batch)"
        if not isinstance(split, Contiguous):
            raise UserError(f"{where} of {split.name}: its items do not follow one another; leave data.streams out")
        self.part, self.length, self.resets = len(split.whole) // batch, length, resets
        self.each = (self.part - length) // length  # steps of an epoch, at any shift
        if self.each < 1:
            raise UserError(
                f"{where} of {split.name} have {self.part} values each; {2 * length} are the least: lower one of them"
            )

    def indices(self, phase: str, step: int) -> Tensor:
        """Positions of a step, (batch,): each the one before plus `length`, but for an epoch's first."""
        import torch

        epoch, within = divmod(step, self.each)
        shift = counted(*self.key, phase, "shift", epoch) % self.length
        rows = torch.arange(self.size, device=self.split.whole.device)
        return rows * self.part + (shift + within * self.length)

    def batch(self, phase: str, step: int) -> Batch:
        """The batch of a step."""
        import torch

        assert isinstance(self.split, Contiguous)
        draw = torch.Generator().manual_seed(counted(*self.key, phase, "resets", step))
        fresh = torch.rand(self.size, generator=draw) < self.resets
        if step % self.each == 0:
            fresh[:] = True
        piece = self.split.piece(self.indices(phase, step), self.length)
        return replace(piece, fresh=fresh.to(self.split.whole.device))
