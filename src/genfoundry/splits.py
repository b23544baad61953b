"""Protocols of a data split: what training, models and evaluation may ask of prepared data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from genfoundry.types import Batch, Spec

if TYPE_CHECKING:
    from torch import Tensor

SPLITS = ("train", "val", "gate", "test")
HELD_OUT = SPLITS[1:]


class Split(Protocol):
    """One split on a device. Items are what evaluation counts; positions are where training may cut a sample."""

    name: str
    spec: Spec
    tensor: Tensor

    @property
    def positions(self) -> int:
        """Number of training positions."""

    @property
    def groups(self) -> Tensor:
        """(N,) int64 on the CPU: the independent unit (play, region, patient) of each evaluation item."""

    def __len__(self) -> int:
        """Number of evaluation items."""

    def eval_batch(self, index: Tensor) -> Batch:
        """These evaluation items: the same values every time."""

    def train_batch(self, position: Tensor) -> Batch:
        """Samples at these training positions; dynamic binarisation draws from torch's global generator."""


@runtime_checkable
class Contiguous(Protocol):
    """A split that is one stream: its items, side by side, go on from one to the next."""

    def stream_batch(self, position: Tensor, length: int) -> Batch:
        """(B, length) values from these positions on."""


@runtime_checkable
class Seasonal(Protocol):
    """A split of a series, with what train says of it."""

    season: int  # rows after which train repeats itself; 0: no such number
    scale: Tensor  # (D,) mean absolute error in train of the value a season (or a row) ago


@runtime_checkable
class Labelled(Protocol):
    """A split whose items have classes, some of which may be unknown (-1)."""

    label: Tensor  # (N,)

    def select(self, kept: Tensor) -> LabelledSplit:
        """The items that are marked (N,)."""

    def relabel(self, label: Tensor) -> LabelledSplit:
        """The same items with other labels (N,), which the spec counts."""


class LabelledSplit(Split, Labelled, Protocol):
    """Both."""


def groups_in(tensors: Mapping[str, Tensor], items: int) -> Tensor:
    """(N,) int64 on the CPU: the stored "group" of each item; each item is its own where none is stored."""
    import torch

    return tensors["group"].long().cpu() if "group" in tensors else torch.arange(items)
