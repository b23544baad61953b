"""Prepared data sets on disk, and their splits."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from genfoundry import files
from genfoundry.errors import UserError
from genfoundry.seeding import derive_seed
from genfoundry.splits import SPLITS, Contiguous, Split
from genfoundry.types import Batch, Spec

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Subset:
    """`n` items of a split, the same every time, side by side where they are a stream; all else is the split's own."""

    def __init__(self, split: Split, n: int) -> None:
        import torch

        draw = torch.Generator().manual_seed(derive_seed("part", split.name, n))
        apart = n < len(split) and not isinstance(split, Contiguous)
        self.index = torch.randperm(len(split), generator=draw)[:n] if apart else torch.arange(n)
        self.split, self.name, self.spec, self.tensor = split, split.name, split.spec, split.tensor

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

    def eval_batch(self, index: Tensor) -> Batch:
        """These of its items."""
        return self.split.eval_batch(self.index[index.cpu()])

    def train_batch(self, position: Tensor) -> Batch:
        """The split's own."""
        return self.split.train_batch(position)


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
        self.meta: dict[str, Any] = files.read_json(folder / "spec.json")
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
        tensors = files.read_tensors(self.folder / f"{name}.safetensors")
        moved = {key: value.to(device) for key, value in tensors.items()}
        flip = bool(self.meta.get("declared", {}).get("flip", False))
        return split_class(self.modality)(name, moved, self.spec, levels, binarise, flip)
