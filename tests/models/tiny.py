"""Tiny data of every modality, and a loader whose batches are functions of (phase, step), for the model tests."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from genfoundry import models
from genfoundry.config import Train, check
from genfoundry.models.base import Learner
from genfoundry.seeding import derive_seed
from genfoundry.types import Batch, Spec

SPECS: dict[str, dict[str, Spec]] = {
    "images": {
        "grey": Spec((1, 8, 8), 17, classes=3, class_counts=(4, 4, 4)),
        "binary": Spec((1, 8, 8), 2, classes=2, class_counts=(6, 6)),
        "colour, odd": Spec((3, 7, 9), 6, classes=2, class_counts=(6, 6)),
        "real": Spec((1, 8, 8), None, classes=2, class_counts=(6, 6)),
    },
    "text": {"text": Spec((12,), 7)},
    "lines": {"lines": Spec((12,), 7)},
    "video": {
        "video": Spec((2, 1, 6, 6), 2, cond_shape=(3, 1, 6, 6), cond_levels=2),
        "colour, odd": Spec((2, 3, 5, 4), 5, cond_shape=(1, 3, 5, 4), cond_levels=5),
    },
    "pairs": {"pairs": Spec((12,), 7, cond_shape=(9,), cond_levels=7)},
    "series": {"series": Spec((5, 2), None, cond_shape=(4, 2))},
}


def specs(kind: type[Learner]) -> dict[str, Spec]:
    """The specs of the modalities that a model declares, less those whose levels it refuses."""
    every = {name: spec for modality in kind.modalities for name, spec in SPECS[modality].items()}
    return {name: spec for name, spec in every.items() if not kind.why_unsupported(spec.levels)}


def build(name: str, spec: Spec, seed: int = 0) -> Learner:
    """A fresh model with its default `Config`: the tiny one."""
    kind = models.find(name)
    torch.manual_seed(seed)
    return kind(spec, kind.Config())


def settings(model: Learner, steps: int, **more: Any) -> Train:
    """The model's own training defaults, as the edge checks them."""
    total = dict.fromkeys(model.phases, steps)
    return check(Train, {**model.defaults, "batch": 8, "steps": total, **more}, "defaults")


class Whole:
    """What `begin` and `end` see of the training split."""

    name, positions = "train", 64

    def __init__(self, spec: Spec, whole: Tensor) -> None:
        self.spec, self.tensor = spec, whole

    def __len__(self) -> int:
        return self.positions

    def train_batch(self, position: Tensor) -> Batch:
        return Batch(self.tensor[position])

    eval_batch = train_batch


class Loader:
    """Batches of 8 with a structure worth learning; `fixed`: one batch for ever."""

    def __init__(self, spec: Spec, *, fixed: bool = False) -> None:
        self.spec, self.fixed = spec, fixed
        self.split: Any = Whole(spec, self.whole())

    def whole(self) -> Tensor:
        """The raw training tensor, as a split has it."""
        draw = torch.Generator().manual_seed(5)
        if len(self.spec.shape) != 2:
            return self.values(64, draw)
        series = torch.randn(200, self.spec.shape[1], generator=draw, dtype=torch.float64)
        for t in range(1, len(series)):
            series[t] += 3.0 + 0.8 * series[t - 1]
        return series

    def values(self, n: int, draw: torch.Generator) -> Tensor:
        """(n, *shape): a ramp, shifted a sample, with noise."""
        ramp = torch.linspace(0, 1, self.spec.dims).view(self.spec.shape)
        noise = torch.rand((n, *self.spec.shape), generator=draw)
        shift = 0.3 * torch.rand((n, *[1] * len(self.spec.shape)), generator=draw)
        value = 0.6 * ramp + shift + 0.1 * noise
        return 2 * value - 1 if self.spec.levels is None else (value * self.spec.levels).long()

    def batch(self, phase: str, step: int) -> Batch:
        draw = torch.Generator().manual_seed(0 if self.fixed else derive_seed(phase, step))
        label = torch.randint(max(self.spec.classes, 1), (8,), generator=draw)
        if self.spec.cond_shape is None:
            fresh = None
            if len(self.spec.shape) == 1:  # text, as streams have it
                fresh = (torch.rand(8, generator=draw) < 0.2) | (step == 0 or self.fixed)
            return Batch(self.values(8, draw), label=label, fresh=fresh)
        if self.spec.cond_levels is not None and len(self.spec.shape) == 1:
            return self.pairs(draw)
        if self.spec.cond_levels:
            x, given = self.values(8, draw), self.spec.cond_shape[0]
            return Batch(x, cond=x[:, :1].expand(-1, given, *x.shape[2:]), label=label)
        past, ahead = self.spec.cond_shape[0], self.spec.shape[0]
        start = torch.randint(200 - past - ahead, (8, 1), generator=draw)
        window = self.split.tensor[start + torch.arange(past + ahead)].float()
        return Batch(window[:, past:], cond=window[:, :past], label=label)

    def pairs(self, draw: torch.Generator) -> Batch:
        """Words of 3 to S letters and, one longer, their translations: each letter the next one, the last twice."""
        assert self.spec.cond_shape is not None and self.spec.cond_levels is not None and self.spec.levels is not None
        length = torch.randint(3, self.spec.cond_shape[0] + 1, (8, 1), generator=draw)
        letters = torch.randint(self.spec.levels - 1, (8, *self.spec.cond_shape), generator=draw)
        before = torch.arange(letters.shape[1]) < length
        at = torch.minimum(torch.arange(self.spec.dims).expand(8, -1), length - 1).clamp_max(letters.shape[1] - 1)
        x = (letters.gather(1, at) + 1) % (self.spec.levels - 1)
        inside = torch.arange(self.spec.dims) <= length + 1  # one letter more, and the end
        x = x.masked_fill(torch.arange(self.spec.dims) > length, self.spec.levels - 1)
        cond = letters.masked_fill(~before, self.spec.cond_levels - 1)
        return Batch(x, cond=cond, cond_mask=before, mask=inside)
