"""Prepared data sets, their splits, and the Loader whose batches are functions of (key, phase, step)."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

from genfoundry import checkpoint
from genfoundry.types import Batch, Spec, UserError, counted

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SPLITS = ("train", "val", "gate", "test")
HELD = SPLITS[1:]


class Split(Protocol):
    """One split on a device. Items are what evaluation counts; positions are where training may cut a sample."""

    name: str
    spec: Spec
    whole: Tensor

    @property
    def positions(self) -> int:
        """Number of training positions."""

    @property
    def groups(self) -> Tensor:
        """(N,) int64 on the CPU: the independent unit (play, region, patient) of each evaluation item."""

    def __len__(self) -> int:
        """Number of evaluation items."""

    def batch(self, index: Tensor) -> Batch:
        """These evaluation items: the same values every time."""

    def crop(self, position: Tensor) -> Batch:
        """Samples at these training positions; dynamic binarisation draws from torch's global generator."""


@runtime_checkable
class Contiguous(Protocol):
    """A split that is one stream: its items, side by side, go on from one to the next."""

    def piece(self, position: Tensor, length: int) -> Batch:
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


class Part:
    """`n` items of a split, the same every time, side by side where they are a stream; all else is the split's own."""

    def __init__(self, split: Split, n: int) -> None:
        import torch

        draw = torch.Generator().manual_seed(counted("part", split.name, n))
        apart = n < len(split) and not isinstance(split, Contiguous)
        self.index = torch.randperm(len(split), generator=draw)[:n] if apart else torch.arange(n)
        self.split, self.name, self.spec, self.whole = split, split.name, split.spec, split.whole

    def __len__(self) -> int:
        return len(self.index)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.split, name)

    @property
    def positions(self) -> int:
        """The split's own."""
        return self.split.positions

    @property
    def groups(self) -> Tensor:
        """(N,): those of its items."""
        return self.split.groups[self.index]

    def batch(self, index: Tensor) -> Batch:
        """These of its items."""
        return self.split.batch(self.index[index.cpu()])

    def crop(self, position: Tensor) -> Batch:
        """The split's own."""
        return self.split.crop(position)


class SplitClass(Protocol):
    """The `Split` of a modality's file in `data.splits`."""

    def __call__(
        self,
        name: str,
        tensors: dict[str, Tensor],
        spec: Spec,
        levels: int | None,
        binarise: str | None,
        flip: bool = False,
    ) -> Split:
        """Prepared arrays as a split at a task's levels; `flip` is for images alone."""


def split_class(modality: str) -> SplitClass:
    """The class of a modality's splits."""
    return cast(SplitClass, importlib.import_module(f"genfoundry.data.splits.{modality}").Split)


class Dataset:
    """A prepared data set on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.meta: dict[str, Any] = checkpoint.read_json(folder / "spec.json")
        self.modality: str = self.meta["modality"]
        self.spec = Spec.from_json(self.meta["spec"])

    def split(
        self,
        name: str,
        levels: int | None = None,
        binarise: str | None = None,
        device: torch.device | str = "cpu",
    ) -> Split:
        """A split as whole tensors on `device`, at the task's levels.

        Raises:
            UserError: there is no such split, or its data cannot have these levels.
        """
        if name not in SPLITS:
            raise UserError(f"{self.folder}: no split {name!r}; there are {', '.join(SPLITS)}")
        tensors = checkpoint.read_tensors(self.folder / f"{name}.safetensors")
        moved = {key: value.to(device) for key, value in tensors.items()}
        flip = bool(self.meta.get("declared", {}).get("flip", False))
        return split_class(self.modality)(name, moved, self.spec, levels, binarise, flip)


class Loader:
    """Batches of a split: which positions a step sees is a function of (key, phase, step) alone."""

    def __init__(self, split: Split, batch: int, key: tuple[object, ...]) -> None:
        self.split, self.size, self.key = split, batch, key
        self._epoch: tuple[str, int] | None = None
        self._order: Tensor

    def indices(self, phase: str, step: int) -> Tensor:
        """Positions of a step, (batch,): an epoch is a seeded permutation, its last partial batch left out."""
        import torch

        each = max(1, self.split.positions // self.size)
        epoch, within = divmod(step, each)
        if self._epoch != (phase, epoch):
            generator = torch.Generator().manual_seed(counted(*self.key, phase, "epoch", epoch))
            order = torch.randperm(self.split.positions, generator=generator)
            self._order, self._epoch = order.to(self.split.whole.device), (phase, epoch)
        return self._order[within * self.size : (within + 1) * self.size]

    def batch(self, phase: str, step: int) -> Batch:
        """The batch of a step."""
        return self.split.crop(self.indices(phase, step))

    def batches(self, size: int) -> Iterator[Batch]:
        """Every evaluation item once, in order."""
        import torch

        for part in torch.split(torch.arange(len(self.split), device=self.split.whole.device), size):
            yield self.split.batch(part)
