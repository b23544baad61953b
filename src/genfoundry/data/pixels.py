"""Prepared images: what stands in the description table, and the split on a device at a task's levels."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genfoundry.data.base import groups_in
from genfoundry.types import Batch, Spec, UserError, counted

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

Array = NDArray[Any]
AT_A_TIME = 1 << 22  # values


def describe(x: Array, label: Array, split: Array, digest: Array, source: Array) -> pd.DataFrame:
    """One row an image."""
    import pandas as pd

    flat = x.reshape(len(x), -1)
    columns = {name: np.zeros(len(flat)) for name in ("min", "max", "mean", "spread", "distinct")}
    step = max(1, AT_A_TIME // flat.shape[1])  # rows: what is computed on the way takes several times their bytes
    for at in range(0, len(flat), step):
        for name, values in _statistics(flat[at : at + step]).items():
            columns[name][at : at + step] = values
    rows = {
        "split": split.astype(object),
        "label": label.astype(np.int64),
        "min": columns["min"],
        "max": columns["max"],
        "mean": columns["mean"],
        "spread": columns["spread"],
        "length": np.full(len(flat), flat.shape[1]),
        "distinct": columns["distinct"].astype(np.int64),
        "unknown": np.zeros(len(flat), np.int64),
        "time": np.full(len(flat), np.nan),
        "finite": np.ones(len(flat), bool),
        "digest": digest.astype(object),
        "source": source.astype(object),
    }
    return pd.DataFrame(rows)


def _statistics(flat: Array) -> dict[str, Array]:
    """Of each row of (N, D) uint8."""
    ordered = np.sort(flat, axis=1)  # sort a row, count its steps
    return {
        "min": ordered[:, 0],
        "max": ordered[:, -1],
        "mean": flat.mean(1),
        "spread": flat.std(1, dtype=np.float32),
        "distinct": 1 + (ordered[:, 1:] != ordered[:, :-1]).sum(1),
    }


class ImageSplit:
    """Images on a device, quantised or binarised as the task wants, mirrored at random in training with `flip`."""

    def __init__(
        self,
        name: str,
        tensors: dict[str, Tensor],
        spec: Spec,
        levels: int | None,
        binarise: str | None,
        flip: bool = False,
    ) -> None:
        native = spec.levels or 256
        levels = levels or native
        if levels > native:
            raise UserError(f"levels: {levels}: the data have {native}; {native} or fewer are right")
        self.name, self.whole, self.label = name, tensors["x"], tensors["label"].long()
        self._held = tensors
        self.spec = replace(spec, levels=levels)
        self.flip = flip
        self.native, self.binarise = native, (binarise or "threshold") if levels == 2 else None
        self._fixed: Tensor | None = None

    def __len__(self) -> int:
        return len(self.whole)

    @property
    def positions(self) -> int:
        """Images."""
        return len(self.whole)

    @cached_property
    def groups(self) -> Tensor:
        """(N,) int64: what goes to a split as a whole with each image; else equal images are of one group."""
        import torch

        if "group" in self._held:
            return groups_in(self._held, len(self))
        rows = self.whole.reshape(len(self), -1).cpu().numpy()
        first: dict[bytes, int] = {}
        return torch.tensor([first.setdefault(row.tobytes(), i) for i, row in enumerate(rows)], dtype=torch.int64)

    def batch(self, index: Tensor) -> Batch:
        """These images; dynamic binarisation is one counted draw, so that a figure does not hang on their order."""
        return Batch(self._levels(self._evaluated()[index]), label=self.label[index])

    def crop(self, position: Tensor) -> Batch:
        """These images; dynamic binarisation and mirroring draw anew, from torch's global generator."""
        import torch

        x = self.whole[position]
        if self.flip:
            mirrored = torch.rand(len(x), 1, 1, 1, device=x.device) < 0.5
            x = torch.where(mirrored, x.flip(-1), x)
        if self.binarise == "dynamic" and self.native > 2:
            chance = x.float() / (self.native - 1)
            return Batch((torch.rand_like(chance) < chance).long(), label=self.label[position])
        return Batch(self._levels(x), label=self.label[position])

    def _evaluated(self) -> Tensor:
        import torch

        if self.binarise != "dynamic" or self.native == 2:
            return self.whole
        if self._fixed is None:
            generator = torch.Generator().manual_seed(counted("binarise", self.name))
            chance = self.whole.cpu().float() / (self.native - 1)
            drawn = torch.rand(chance.shape, generator=generator) < chance
            self._fixed = (drawn.to(torch.uint8) * (self.native - 1)).to(self.whole.device)
        return self._fixed

    def _levels(self, x: Tensor) -> Tensor:
        levels = self.spec.levels or 256
        return x.long() if levels == self.native else x.long() * levels // self.native
