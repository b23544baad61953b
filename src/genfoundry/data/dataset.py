"""Prepared data sets on disk, and their splits."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genfoundry import files
from genfoundry.data.splits.base import SplitOptions, TensorSplit
from genfoundry.errors import UserError
from genfoundry.seeding import derive_seed
from genfoundry.splits import SPLITS, Contiguous, Split
from genfoundry.types import Batch, Spec

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Subset:
    """`n` items of a split, the same every time; side by side where the split is a stream.

    Every other attribute is the split's.
    """

    def __init__(self, split: Split, n: int) -> None:
        import torch

        generator = torch.Generator().manual_seed(derive_seed("part", split.name, n))
        # A file may be sorted by class, so that its first items are no sample; windows of a stream stay neighbours
        shuffled = n < len(split) and not isinstance(split, Contiguous)
        self.index = torch.randperm(len(split), generator=generator)[:n] if shuffled else torch.arange(n)
        # `tensor` is the whole split's: positions count in it, and `index` is applied to items alone
        self.split, self.name, self.spec, self.tensor = split, split.name, split.spec, split.tensor

    def __len__(self) -> int:
        return len(self.index)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.split, name)

    @property
    def positions(self) -> int:
        """Number of training positions of the split."""
        return self.split.positions

    @property
    def groups(self) -> Tensor:
        """(N,) the groups of the subset's items."""
        return self.split.groups[self.index]

    def eval_batch(self, index: Tensor) -> Batch:
        """The subset's items at `index`."""
        return self.split.eval_batch(self.index[index.cpu()])

    def train_batch(self, position: Tensor) -> Batch:
        """Training samples of the split."""
        return self.split.train_batch(position)


def split_class(modality: str) -> type[TensorSplit]:
    """The class of a modality's splits: the one that its file in `data.splits` defines."""
    module = importlib.import_module(f"genfoundry.data.splits.{modality}")
    # The module also imports its base class, which is not its own
    classes = [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, TensorSplit)]
    return next(cls for cls in classes if cls.__module__ == module.__name__)


class Dataset:
    """A prepared data set on disk.

    Args:
        folder: what `preparation.prepare` wrote.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.meta: dict[str, Any] = files.read_json(folder / "spec.json")
        self.modality: str = self.meta["modality"]
        self.spec = Spec.from_json(self.meta["spec"])

    def split(
        self, name: str, levels: int | None = None, binarise: str | None = None, device: torch.device | str = "cpu"
    ) -> Split:
        """Load a split as tensors on `device`, at the task's levels.

        Raises:
            UserError: there is no such split, or its data cannot have these levels.
        """
        if name not in SPLITS:
            raise UserError(f"{self.folder}: expected a split of {', '.join(SPLITS)}, got {name!r}")
        tensors = files.read_tensors(self.folder / f"{name}.safetensors")
        # Once and all of it: batches are then gathered where the model is
        moved = {key: value.to(device) for key, value in tensors.items()}
        flip = bool(self.meta.get("declared", {}).get("flip", False))
        return split_class(self.modality)(name, moved, self.spec, SplitOptions(levels, binarise, flip))
