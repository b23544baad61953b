"""Which training items there are and which keep their label, and batches that mix these and the others evenly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genfoundry import config
from genfoundry.data.base import Labelled, LabelledSplit, Loader, Part, Split
from genfoundry.data.streams import Streams
from genfoundry.types import UserError, counted

if TYPE_CHECKING:
    from torch import Tensor


def loader(split: Split, data: config.Data, batch: int, key: tuple[object, ...], dataset: str, draw: int) -> Loader:
    """The loader of training number `draw` of an experiment (0: the model and its trials; 1, 2, ...: other seeds).

    The spec of its split, which the model is built by, counts no label that training does not see.
    """
    if data.without:
        split = without(split, data.without, dataset)
    if data.streams is not None:
        return Streams(split, batch, key, data.streams, data.resets)
    if data.labels is None:
        return Loader(split, batch, key)
    return Mixed(few(split, data.labels, dataset, draw), batch, key, 0.5 if data.labelled is None else data.labelled)


def without(split: Split, classes: tuple[int, ...], dataset: str) -> LabelledSplit:
    """The split's items that are of none of these classes.

    Raises:
        UserError: there are no such classes, or no others.
    """
    import torch

    where, there = f"data.without: {list(classes)}: data set {dataset}", split.spec.classes
    if not isinstance(split, Labelled) or not all(k < there for k in classes):
        raise UserError(f"{where} has {there} classes; numbers below {there} are right")
    kept = ~torch.isin(split.label, torch.tensor(classes, device=split.label.device))
    if not kept.any():
        raise UserError(f"{where} has no items of other classes; leave out fewer")
    return split.select(kept)


def of_trial(val: Split, items: int | None, labels: int | None) -> Part:
    """The items of `val` that a trial of a tuning is measured on: at most `items`, the same for every trial.

    Of a task with `labels` these are labelled and no more than that many: settings that are chosen by thousands of
    labels are not what could be chosen where there are a hundred (Oliver et al. 2018, arXiv:1804.09170, section 4.6).
    """
    if labels is not None and isinstance(val, Labelled) and (val.label >= 0).any():
        val = val.select(val.label >= 0)
        items = min(items or labels, labels)
    return Part(val, min(items or len(val), len(val)))


def few(split: Split, count: int, dataset: str, draw: int) -> LabelledSplit:
    """The split with `count` labels, as many of each class as of any other (or one more); the others become -1.

    Which is a function of (data set, count, draw) alone: experiments that are compared learn from the same labels.

    Raises:
        UserError: there are fewer labelled items, or fewer labels than classes.
    """
    import torch

    where, classes = f"data.labels: {count}: data set {dataset}", split.spec.classes
    if not isinstance(split, Labelled) or not classes or not (split.label >= 0).any():
        raise UserError(f"{where} has no labels; leave data.labels and data.labelled out")
    if count < classes:
        raise UserError(f"{where} has {classes} classes; {classes} or more are right")
    label = split.label.cpu()
    generator = torch.Generator().manual_seed(counted("labels", dataset, count, draw))
    known = torch.zeros(len(label), dtype=torch.bool)
    for c in range(classes):
        own, wanted = (label == c).nonzero()[:, 0], count // classes + (c < count % classes)
        if len(own) < wanted:
            raise UserError(f"{where} has {len(own)} items of class {c} in {split.name}; {wanted} are needed")
        known[own[torch.randperm(len(own), generator=generator)[:wanted]]] = True
    return split.relabel(torch.where(known.to(split.label.device), split.label, -1))


class Mixed(Loader):
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
                generator = torch.Generator().manual_seed(counted(*self.key, phase, name, epoch))
                order = torch.randperm(len(of), generator=generator).to(of.device)
                self._orders[phase, name, epoch] = of[order]
        begun = start - epochs[0] * len(of)
        return torch.cat([self._orders[phase, name, epoch] for epoch in epochs])[begun : begun + n]
