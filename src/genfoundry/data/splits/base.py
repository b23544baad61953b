"""Base class of the splits, and the options that a task sets on one."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar

from genfoundry.errors import UserError
from genfoundry.types import Batch, Spec

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class SplitOptions:
    """How a task presents the data: quantisation `levels`, "dynamic" or "threshold" `binarise`, random mirroring."""

    levels: int | None = None
    binarise: str | None = None
    flip: bool = False


class TensorSplit:
    """A split held as tensors on one device; an item, and a training position, is a row of "x".

    A subclass overrides what differs: how rows become samples, where training may cut one, which options it supports.

    Args:
        name: train, val, gate or test.
        tensors: the prepared arrays: "x", "group" (N,) where several items are of one independent unit, and more.
        spec: what one sample is.
        options: of the task.

    Raises:
        UserError: an option is set that this modality does not support.
    """

    supported: ClassVar[tuple[str, ...]] = ()  # fields of SplitOptions

    def __init__(
        self, name: str, tensors: dict[str, Tensor], spec: Spec, options: SplitOptions = SplitOptions()
    ) -> None:
        for option in fields(options):
            value = getattr(options, option.name)
            # Levels that the data have already ask for nothing, so that every task may state them
            unchanged = value == option.default or (option.name == "levels" and value == spec.levels)
            if not unchanged and option.name not in self.supported:
                raise UserError(f"data.{option.name}: expected no value for a {type(self).__name__}, got {value!r}")
        self.name, self.spec, self.tensors, self.tensor = name, spec, tensors, tensors["x"]

    def __len__(self) -> int:
        return len(self.tensor)

    @property
    def positions(self) -> int:
        """Number of training positions."""
        return len(self.tensor)

    @property
    def groups(self) -> Tensor:
        """(N,) int64 on the CPU: the independent unit of each item; each is its own where the data name none."""
        import torch

        return self.tensors["group"].long().cpu() if "group" in self.tensors else torch.arange(len(self))

    def eval_batch(self, index: Tensor) -> Batch:
        """The evaluation items at `index` (B,): the same values every time."""
        raise NotImplementedError

    def train_batch(self, position: Tensor) -> Batch:
        """Training samples at `position` (B,)."""
        return self.eval_batch(position)
