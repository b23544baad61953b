"""Images at a task's levels."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from genfoundry.data.splits.base import SplitOptions, TensorSplit
from genfoundry.errors import UserError
from genfoundry.seeding import derive_seed
from genfoundry.types import Batch, Spec

if TYPE_CHECKING:
    from typing import Self

    from torch import Tensor


class ImageSplit(TensorSplit):
    """Images (N, C, H, W), quantised or binarised as the task wants; with `flip`, training mirrors half of them.

    Attributes:
        label: (N,) int64 class of each image, -1 where it is unknown.
        native: grey values of the data, of which `spec.levels` is at most as many.
    """

    supported = ("levels", "binarise", "flip")

    def __init__(
        self, name: str, tensors: dict[str, Tensor], spec: Spec, options: SplitOptions = SplitOptions()
    ) -> None:
        self.native = spec.levels or 256
        levels = options.levels or self.native
        if levels > self.native:
            raise UserError(f"levels: expected {self.native} or fewer, as the data have, got {levels}")
        super().__init__(name, tensors, replace(spec, levels=levels), options)
        self.label, self.flip = tensors["label"].long(), options.flip
        self.binarise = (options.binarise or "threshold") if levels == 2 else None
        self._binarised: Tensor | None = None

    @cached_property
    def groups(self) -> Tensor:
        """(N,) int64: what goes to one split with each image; where the data name none, equal images are a group."""
        import torch

        if "group" in self.tensors:
            return self.tensors["group"].long().cpu()
        # Equal images carry the information of one: counted as several, they would narrow intervals
        rows = self.tensor.reshape(len(self), -1).cpu().numpy()
        first: dict[bytes, int] = {}
        return torch.tensor([first.setdefault(row.tobytes(), i) for i, row in enumerate(rows)], dtype=torch.int64)

    def eval_batch(self, index: Tensor) -> Batch:
        """The images at `index`. Dynamic binarisation is drawn once for the split, so that order changes no metric."""
        return Batch(self._quantise(self._eval_images()[index]), label=self.label[index])

    def train_batch(self, position: Tensor) -> Batch:
        """The images at `position`; dynamic binarisation and mirroring draw from torch's global generator."""
        import torch

        x = self.tensor[position]  # (B, C, H, W)
        if self.flip:
            mirrored = torch.rand(len(x), 1, 1, 1, device=x.device) < 0.5
            x = torch.where(mirrored, x.flip(-1), x)
        # Anew at every step: of few images a fixed draw would be learnt by heart
        if self.binarise == "dynamic" and self.native > 2:
            chance = x.float() / (self.native - 1)
            return Batch((torch.rand_like(chance) < chance).long(), label=self.label[position])
        return Batch(self._quantise(x), label=self.label[position])

    def _eval_images(self) -> Tensor:
        import torch

        if self.binarise != "dynamic" or self.native == 2:
            return self.tensor
        if self._binarised is None:
            # All at once and on the CPU: the same pixels whatever the order of batches and the device
            generator = torch.Generator().manual_seed(derive_seed("binarise", self.name))
            chance = self.tensor.cpu().float() / (self.native - 1)
            white = torch.rand(chance.shape, generator=generator) < chance
            self._binarised = (white.to(torch.uint8) * (self.native - 1)).to(self.tensor.device)
        return self._binarised

    def _quantise(self, x: Tensor) -> Tensor:
        levels = self.spec.levels or 256
        # Equal bins of grey values: level k stands for native values from k * native / levels on
        return x.long() if levels == self.native else x.long() * levels // self.native

    def select(self, mask: Tensor) -> Self:
        """The images where `mask` (N,) is true."""
        subset = copy.copy(self)
        subset.tensors = {key: value[mask] for key, value in self.tensors.items()}
        subset.tensor, subset._binarised = subset.tensors["x"], None
        subset.__dict__.pop("groups", None)  # of all images, where they were computed
        return subset.relabel(self.label[mask])

    def relabel(self, label: Tensor) -> Self:
        """The same images with the classes `label` (N,), which the spec counts."""
        relabelled = copy.copy(self)  # shares the images
        relabelled.label = label
        counts = label[label >= 0].bincount(minlength=self.spec.classes)
        relabelled.spec = replace(self.spec, class_counts=tuple(counts.tolist()))
        return relabelled
