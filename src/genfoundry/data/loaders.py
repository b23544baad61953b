"""Loaders: the batch of a training step is a function of (key, phase, step) alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from genfoundry import config
from genfoundry.data.label_subsets import exclude_classes, keep_labels
from genfoundry.errors import UserError
from genfoundry.seeding import derive_seed
from genfoundry.splits import Contiguous, LabelledSplit, Split
from genfoundry.types import Batch

if TYPE_CHECKING:
    from torch import Tensor


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
            generator = torch.Generator().manual_seed(derive_seed(*self.key, phase, "epoch", epoch))
            order = torch.randperm(self.split.positions, generator=generator)
            self._order, self._epoch = order.to(self.split.tensor.device), (phase, epoch)
        return self._order[within * self.size : (within + 1) * self.size]

    def batch(self, phase: str, step: int) -> Batch:
        """The batch of a step."""
        return self.split.train_batch(self.indices(phase, step))

    def batches(self, size: int) -> Iterator[Batch]:
        """Every evaluation item once, in order."""
        import torch

        for part in torch.split(torch.arange(len(self.split), device=self.split.tensor.device), size):
            yield self.split.eval_batch(part)


class SemiSupervisedLoader(Loader):
    """Of each batch, `round(share * batch)` items have a label, and the others none.

    Both parts are streams of permutations, one after another: none of their items comes up k + 1 times before each has
    come up k times.
    """

    def __init__(self, split: LabelledSplit, batch: int, key: tuple[object, ...], share: float) -> None:
        super().__init__(split, batch, key)
        first = min(max(round(share * batch), 1), batch)
        known = split.label >= 0
        if first < batch and bool(known.all()):
            first = batch
        self.parts = {"labelled": (known.nonzero()[:, 0], first), "others": ((~known).nonzero()[:, 0], batch - first)}
        self._orders: dict[tuple[str, str, int], Tensor] = {}

    def indices(self, phase: str, step: int) -> Tensor:
        """Positions of a step, (batch,), the labelled ones first."""
        import torch

        return torch.cat([self._stream(phase, name, step * n, n) for name, (_, n) in self.parts.items() if n])

    def _stream(self, phase: str, name: str, start: int, n: int) -> Tensor:
        import torch

        of = self.parts[name][0]
        epochs = range(start // len(of), (start + n - 1) // len(of) + 1)
        old = [key for key in self._orders if key[1] == name and (key[0] != phase or key[2] not in epochs)]
        for key in old:
            del self._orders[key]
        for epoch in epochs:
            if (phase, name, epoch) not in self._orders:
                generator = torch.Generator().manual_seed(derive_seed(*self.key, phase, name, epoch))
                order = torch.randperm(len(of), generator=generator).to(of.device)
                self._orders[phase, name, epoch] = of[order]
        begun = start - epochs[0] * len(of)
        return torch.cat([self._orders[phase, name, epoch] for epoch in epochs])[begun : begun + n]


class StreamLoader(Loader):
    """Row b reads its own part of the data, `length` values a step; `Batch.fresh` tells which rows begin anew.

    All begin anew with an epoch, whose cuts are shifted by a draw of its own; besides, each does with probability
    `resets` a step, so that a model meets states of every age.
    """

    def __init__(self, split: Split, batch: int, key: tuple[object, ...], length: int, resets: float) -> None:
        super().__init__(split, batch, key)
        where = f"data.streams: {length}: {batch} streams (train.batch)"
        if not isinstance(split, Contiguous):
            raise UserError(f"{where} of {split.name}: its items do not follow one another; leave data.streams out")
        self.part, self.length, self.resets = len(split.tensor) // batch, length, resets
        self.each = (self.part - length) // length  # steps of an epoch, at any shift
        if self.each < 1:
            raise UserError(
                f"{where} of {split.name} have {self.part} values each; {2 * length} are the least: lower one of them"
            )

    def indices(self, phase: str, step: int) -> Tensor:
        """Positions of a step, (batch,): each the one before plus `length`, but for an epoch's first."""
        import torch

        epoch, within = divmod(step, self.each)
        shift = derive_seed(*self.key, phase, "shift", epoch) % self.length
        rows = torch.arange(self.size, device=self.split.tensor.device)
        return rows * self.part + (shift + within * self.length)

    def batch(self, phase: str, step: int) -> Batch:
        """The batch of a step."""
        import torch

        assert isinstance(self.split, Contiguous)
        draw = torch.Generator().manual_seed(derive_seed(*self.key, phase, "resets", step))
        fresh = torch.rand(self.size, generator=draw) < self.resets
        if step % self.each == 0:
            fresh[:] = True
        piece = self.split.stream_batch(self.indices(phase, step), self.length)
        return replace(piece, fresh=fresh.to(self.split.tensor.device))


def make_loader(
    split: Split, data: config.Data, batch: int, key: tuple[object, ...], dataset: str, draw: int
) -> Loader:
    """The loader of training number `draw` of an experiment (0: the model and its trials; 1, 2, ...: other seeds).

    The spec of its split, which the model is built by, counts no label that training does not see.
    """
    if data.without:
        split = exclude_classes(split, data.without, dataset)
    if data.streams is not None:
        return StreamLoader(split, batch, key, data.streams, data.resets)
    if data.labels is None:
        return Loader(split, batch, key)
    return SemiSupervisedLoader(
        keep_labels(split, data.labels, dataset, draw), batch, key, 0.5 if data.labelled is None else data.labelled
    )
