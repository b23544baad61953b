"""Data loaders: the batch of a training step is a function of (key, phase, step) alone."""

from __future__ import annotations

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
    """Batches of a split, drawn without replacement: an epoch is a seeded permutation of its training positions.

    Args:
        split: to draw from.
        batch: items a step.
        key: what the seeds are derived from.
    """

    def __init__(self, split: Split, batch: int, key: tuple[object, ...]) -> None:
        self.split, self.size, self.key = split, batch, key
        self._epoch: tuple[str, int] | None = None
        self._order: Tensor

    def indices(self, phase: str, step: int) -> Tensor:
        """Positions of a step, (batch,); an epoch's last partial batch is left out."""
        import torch

        steps = max(1, self.split.positions // self.size)  # of an epoch
        epoch, within = divmod(step, steps)
        if self._epoch != (phase, epoch):
            # On the CPU: a GPU's generator would draw another permutation from the same seed
            generator = torch.Generator().manual_seed(derive_seed(*self.key, phase, "epoch", epoch))
            order = torch.randperm(self.split.positions, generator=generator)
            self._order, self._epoch = order.to(self.split.tensor.device), (phase, epoch)
        return self._order[within * self.size : (within + 1) * self.size]

    def batch(self, phase: str, step: int) -> Batch:
        """The batch of a step."""
        return self.split.train_batch(self.indices(phase, step))


class SemiSupervisedLoader(Loader):
    """Batches of which `round(share * batch)` items have a label, and the others none.

    Both parts are streams of permutations, one after another: none of their items comes up k + 1 times before each has
    come up k times.
    """

    def __init__(self, split: LabelledSplit, batch: int, key: tuple[object, ...], share: float) -> None:
        super().__init__(split, batch, key)
        labelled = split.label >= 0
        count = min(max(round(share * batch), 1), batch)
        count = batch if bool(labelled.all()) else count
        self.parts = {
            "labelled": (labelled.nonzero()[:, 0], count),
            "others": ((~labelled).nonzero()[:, 0], batch - count),
        }
        self._orders: dict[tuple[str, str, int], Tensor] = {}  # (phase, part, epoch) -> permutation

    def indices(self, phase: str, step: int) -> Tensor:
        """Positions of a step, (batch,), the labelled ones first."""
        import torch

        return torch.cat([self._stream(phase, name, step * n, n) for name, (_, n) in self.parts.items() if n])

    def _stream(self, phase: str, name: str, start: int, n: int) -> Tensor:
        """Positions `start` to `start + n` of a part's stream."""
        import torch

        items = self.parts[name][0]
        epochs = range(start // len(items), (start + n - 1) // len(items) + 1)
        # A step may span two epochs; permutations that no later step needs would pile up
        past = [key for key in self._orders if key[1] == name and (key[0] != phase or key[2] not in epochs)]
        for key in past:
            del self._orders[key]
        for epoch in epochs:
            if (phase, name, epoch) not in self._orders:
                generator = torch.Generator().manual_seed(derive_seed(*self.key, phase, name, epoch))
                order = torch.randperm(len(items), generator=generator).to(items.device)
                self._orders[phase, name, epoch] = items[order]
        first = start - epochs[0] * len(items)
        return torch.cat([self._orders[phase, name, epoch] for epoch in epochs])[first : first + n]


class StreamLoader(Loader):
    """Batches whose row b reads its own part of the data, `length` values a step, for truncated backpropagation.

    `Batch.fresh` says which rows begin anew: all with an epoch, whose cuts are shifted by a draw; besides, each with
    probability `resets` a step, so that a model meets states of every age.
    """

    def __init__(self, split: Split, batch: int, key: tuple[object, ...], length: int, resets: float) -> None:
        super().__init__(split, batch, key)
        where = f"data.streams: {length}: {batch} streams (train.batch)"
        if not isinstance(split, Contiguous):
            raise UserError(
                f"{where} of {split.name}: expected one stream of data, got separate items; leave data.streams out"
            )
        self.part, self.length, self.resets = len(split.tensor) // batch, length, resets
        # Less one cut: the greatest shift takes as many values of each part
        self.steps = (self.part - length) // length  # of an epoch, at any shift
        if self.steps < 1:
            raise UserError(
                f"{where} of {split.name}: expected {2 * length} values or more each, got {self.part}; lower one"
            )

    def indices(self, phase: str, step: int) -> Tensor:
        """Positions of a step, (batch,): the previous ones plus `length`, except where an epoch begins."""
        import torch

        epoch, within = divmod(step, self.steps)
        shift = derive_seed(*self.key, phase, "shift", epoch) % self.length
        rows = torch.arange(self.size, device=self.split.tensor.device)
        return rows * self.part + (shift + within * self.length)

    def batch(self, phase: str, step: int) -> Batch:
        """The batch of a step."""
        import torch

        assert isinstance(self.split, Contiguous)
        generator = torch.Generator().manual_seed(derive_seed(*self.key, phase, "resets", step))
        # A generator of its own: the global one's draws do not depend on whether rows are reset
        fresh = torch.rand(self.size, generator=generator) < self.resets
        if step % self.steps == 0:
            fresh[:] = True
        batch = self.split.stream_batch(self.indices(phase, step), self.length)
        return replace(batch, fresh=fresh.to(self.split.tensor.device))


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
    labelled = keep_labels(split, data.labels, dataset, draw)
    return SemiSupervisedLoader(labelled, batch, key, 0.5 if data.labelled is None else data.labelled)
