"""Prepared data sets, their splits, and the Loader whose batches are functions of (key, phase, step)."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from genfoundry import checkpoint, config
from genfoundry.data.grouping import HELD as HELD
from genfoundry.data.grouping import SPLITS as SPLITS
from genfoundry.data.grouping import count_groups, require_groups
from genfoundry.data.listing import files as files
from genfoundry.data.listing import only as only
from genfoundry.types import Batch, Spec, UserError, counted

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from torch import Tensor

Arrays = dict[str, NDArray[Any]]
DECLARED = (
    "size",
    "colour",
    "patch",
    "label",
    "flip",
    "columns",
    "missing",
    "step",
    "numbered",
    "header",
)  # what files that come later are read by, too


class EmptySplit(UserError):
    """A split has no item."""


@dataclass(frozen=True)
class Prepared:
    """What a modality makes of raw files and inbox: arrays a split, the spec, a description row a sample."""

    splits: dict[str, Arrays]
    spec: Spec
    names: tuple[str, ...]
    counts: dict[str, int]
    describe: pd.DataFrame
    declared: Mapping[str, Any] = field(default_factory=dict)  # what the files decided that later ones are read by, too


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


class Modality(Protocol):
    """What a modality's file in this folder offers: `prepare`, and the class of its splits."""

    def prepare(self, raw: Path, inbox: Path, dataset: config.Dataset, seed: int) -> Prepared:
        """Raw files and inbox as arrays."""

    def Split(
        self,
        name: str,
        tensors: dict[str, Tensor],
        spec: Spec,
        levels: int | None,
        binarise: str | None,
        flip: bool = False,
    ) -> Split:
        """Prepared arrays as a split at a task's levels; `flip` is for images alone."""


def modality(name: str) -> Modality:
    """The module of a modality."""
    return cast(Modality, importlib.import_module(f"genfoundry.data.{name}"))


def prepare(raw: Path, inbox: Path, out: Path, dataset: config.Dataset, seed: int) -> None:
    """Raw files and inbox -> `out`: a safetensors file a split, spec.json, describe.parquet; all or nothing.

    Raises:
        UserError: a file is damaged or does not fit the declaration, or a split would be empty or of one group.
    """
    from safetensors.numpy import save_file

    made = modality(dataset.modality).prepare(raw, inbox, dataset, seed)
    for name in SPLITS:
        if not made.counts.get(name):
            raise EmptySplit(
                f"{raw}: split {name} is empty ({made.counts}); add data, or give it a larger share under split"
            )
    groups = count_groups(made.splits)
    require_groups(raw, groups, dataset)
    with checkpoint.fresh(out) as folder:
        total = hashlib.sha256()
        for name in SPLITS:
            arrays = {key: np.ascontiguousarray(value) for key, value in made.splits[name].items()}
            save_file(arrays, folder / f"{name}.safetensors")  # which copies nothing
            total.update(bytes.fromhex(checkpoint.sha256(folder / f"{name}.safetensors")))
        made.describe.to_parquet(folder / "describe.parquet", index=False)
        meta = {
            "modality": dataset.modality,
            "spec": made.spec.to_json(),
            "alphabet": dataset.alphabet or None,
            "names": list(made.names),
            "counts": made.counts,
            "digest": total.hexdigest(),
        }
        meta |= {"groups": groups} if groups else {}
        given = dataset.model_dump(mode="json", include=set(DECLARED), exclude_defaults=True)
        if declared := {**made.declared, **given}:
            meta["declared"] = declared
        checkpoint.write_json(folder / "spec.json", meta)


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
        return modality(self.modality).Split(name, moved, self.spec, levels, binarise, flip)


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
