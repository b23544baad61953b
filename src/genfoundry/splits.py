"""Protocols of a data split: what training, models and evaluation may ask of prepared data."""

from __future__ import annotations

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
        """The evaluation items at `index` (B,): the same values every time."""

    def train_batch(self, position: Tensor) -> Batch:
        """Samples at these training positions (B,); augmentation draws from torch's global generator."""


@runtime_checkable
class Contiguous(Protocol):
    """A split that is one stream: each item continues the one before."""

    def stream_batch(self, position: Tensor, length: int) -> Batch:
        """(B, length) values from each position on."""


@runtime_checkable
class Seasonal(Protocol):
    """A split of a time series, with two statistics of train."""

    season: int  # rows after which train repeats itself; 0: never
    scale: Tensor  # (D,) mean absolute error in train of the value a season (or a row) ago


@runtime_checkable
class Labelled(Protocol):
    """A split whose items have classes, -1 where one is unknown."""

    label: Tensor  # (N,)

    def select(self, mask: Tensor) -> LabelledSplit:
        """The items where `mask` (N,) is true."""

    def relabel(self, label: Tensor) -> LabelledSplit:
        """The same items with other classes (N,), which the spec counts."""


class LabelledSplit(Split, Labelled, Protocol):
    """A split with classes."""
