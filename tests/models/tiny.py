"""Tiny data of every modality, and a loader whose batches are functions of (phase, step), for the model tests."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from genfoundry import models
from genfoundry.config import Train, check
from genfoundry.models.base import Learner
from genfoundry.types import Batch, Spec, counted

SPECS: dict[str, dict[str, Spec]] = {
    "images": {
        "grey": Spec((1, 8, 8), 17, classes=3, class_counts=(4, 4, 4)),
        "binary": Spec((1, 8, 8), 2, classes=2, class_counts=(6, 6)),
        "colour, odd": Spec((3, 7, 9), 6, classes=2, class_counts=(6, 6)),
        "real": Spec((1, 8, 8), None, classes=2, class_counts=(6, 6)),
    },
    "text": {"text": Spec((12,), 7)},
    "lines": {"lines": Spec((12,), 7)},
    "series": {"series": Spec((5, 2), None, cond_shape=(4, 2))},
}


def specs(kind: type[Learner]) -> dict[str, Spec]:
    """The specs of the modalities that a model declares, less those whose levels it refuses."""
    every = {name: spec for modality in kind.modalities for name, spec in SPECS[modality].items()}
    return {name: spec for name, spec in every.items() if not kind.refuses(spec.levels)}


def build(name: str, spec: Spec, seed: int = 0) -> Learner:
    """A fresh model with its default `Config`: the tiny one."""
    kind = models.find(name)
    torch.manual_seed(seed)
    return kind(spec, kind.Config())


def settings(model: Learner, steps: int, **more: Any) -> Train:
    """The model's own training defaults, as the edge checks them."""
    total = dict.fromkeys(model.phases, steps)
    return check(Train, {**model.defaults, "batch": 8, "steps": total, **more}, "defaults")


class Loader:
    """Batches of 8 with a structure worth learning; `fixed`: one batch for ever."""

    def __init__(self, spec: Spec, *, fixed: bool = False) -> None:
        self.spec, self.fixed = spec, fixed
        whole = self.whole()
        crop = lambda position: Batch(whole[position])  # noqa: E731
        self.split: Any = SimpleNamespace(spec=spec, name="train", whole=whole, positions=64, crop=crop)

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
        draw = torch.Generator().manual_seed(0 if self.fixed else counted(phase, step))
        label = torch.randint(max(self.spec.classes, 1), (8,), generator=draw)
        if self.spec.cond_shape is None:
            return Batch(self.values(8, draw), label=label)
        past, ahead = self.spec.cond_shape[0], self.spec.shape[0]
        start = torch.randint(200 - past - ahead, (8, 1), generator=draw)
        window = self.split.whole[start + torch.arange(past + ahead)].float()
        return Batch(window[:, past:], cond=window[:, :past], label=label)
