"""Images on a device at a task's levels."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from genfoundry.errors import UserError
from genfoundry.seeding import derive_seed
from genfoundry.splits import groups_in
from genfoundry.types import Batch, Spec

if TYPE_CHECKING:
    from typing import Self

    from torch import Tensor


class Split:
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
        self.name, self.tensor, self.label = name, tensors["x"], tensors["label"].long()
        self._held = tensors
        self.spec = replace(spec, levels=levels)
        self.flip = flip
        self.native, self.binarise = native, (binarise or "threshold") if levels == 2 else None
        self._fixed: Tensor | None = None

    def __len__(self) -> int:
        return len(self.tensor)

    @property
    def positions(self) -> int:
        """Images."""
        return len(self.tensor)

    @cached_property
    def groups(self) -> Tensor:
        """(N,) int64: what goes to a split as a whole with each image; else equal images are of one group."""
        import torch

        if "group" in self._held:
            return groups_in(self._held, len(self))
        rows = self.tensor.reshape(len(self), -1).cpu().numpy()
        first: dict[bytes, int] = {}
        return torch.tensor([first.setdefault(row.tobytes(), i) for i, row in enumerate(rows)], dtype=torch.int64)

    def eval_batch(self, index: Tensor) -> Batch:
        """These images; dynamic binarisation is one counted draw, so that a figure does not hang on their order."""
        return Batch(self._levels(self._evaluated()[index]), label=self.label[index])

    def train_batch(self, position: Tensor) -> Batch:
        """These images; dynamic binarisation and mirroring draw anew, from torch's global generator."""
        import torch

        x = self.tensor[position]
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
            return self.tensor
        if self._fixed is None:
            generator = torch.Generator().manual_seed(derive_seed("binarise", self.name))
            chance = self.tensor.cpu().float() / (self.native - 1)
            drawn = torch.rand(chance.shape, generator=generator) < chance
            self._fixed = (drawn.to(torch.uint8) * (self.native - 1)).to(self.tensor.device)
        return self._fixed

    def _levels(self, x: Tensor) -> Tensor:
        levels = self.spec.levels or 256
        return x.long() if levels == self.native else x.long() * levels // self.native

    def select(self, kept: Tensor) -> Self:
        """The images that are marked (N,)."""
        left = copy.copy(self)
        left.tensor, left._fixed = self.tensor[kept], None
        return left.relabel(self.label[kept])

    def relabel(self, label: Tensor) -> Self:
        """The same images with other labels (N,), which the spec counts."""
        found = copy.copy(self)  # shares the images
        found.label = label
        counts = label[label >= 0].bincount(minlength=self.spec.classes)
        found.spec = replace(self.spec, class_counts=tuple(counts.tolist()))
        return found
