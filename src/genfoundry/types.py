"""The frozen values that travel between data, models, the loop and the stages.

Letters, project-wide: B batch, C channels, H W height and width, T time, D features, K codes.
Likelihoods are in nats; bits/dim and nats/char appear at the reporting edge only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Spec:
    """What one sample is.

    Attributes:
        shape: image (C, H, W), text (T,), series (T, D), video (T, C, H, W).
        levels: an int: `Batch.x` is integer in 0..levels-1; None: `Batch.x` is float32, a series' float64.
        classes: number of classes, 0 for none.
        class_counts: number of training items of each class.
        cond_shape: of `Batch.cond`: a source sentence, the values before a window.
        cond_levels: as `levels`, of the condition.
    """

    shape: tuple[int, ...]
    levels: int | None
    classes: int = 0
    class_counts: tuple[int, ...] = ()
    cond_shape: tuple[int, ...] | None = None
    cond_levels: int | None = None

    @property
    def dims(self) -> int:
        """Number of values in one sample: what bits/dim divides by."""
        return math.prod(self.shape)

    @property
    def class_shares(self) -> tuple[float, ...]:
        """p(class): the shares of the training labels, 0 of a class left out; uniform where there are no labels."""
        counts = self.class_counts if sum(self.class_counts) else (1,) * self.classes
        return tuple(count / sum(counts) for count in counts)

    def to_json(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Spec:
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}
        return cls(**plain)


@dataclass(frozen=True)
class Batch:
    """A batch of B samples.

    Attributes:
        x: (B, *spec.shape).
        cond: (B, *spec.cond_shape), the condition.
        cond_mask: (B, *spec.cond_shape) bool, False on padding.
        label: (B,) int64, -1 for unlabelled.
        mask: (B, *spec.shape) bool, False on padding, which counts nowhere.
        fresh: (B,) bool, for models with a state: row b continues row b of the previous batch unless it is marked.
            `x` is then (B, L) for any L.
    """

    x: Tensor
    cond: Tensor | None = None
    cond_mask: Tensor | None = None
    label: Tensor | None = None
    mask: Tensor | None = None
    fresh: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)

    def to(self, device: torch.device | str) -> Batch:
        """The same batch with every tensor on `device`."""
        moved = {f.name: v.to(device) for f in fields(self) if (v := getattr(self, f.name)) is not None}
        return replace(self, **moved)


@dataclass(frozen=True)
class Clock:
    """The place in training: `step` counts from 0 within `phase`, which has `total` steps."""

    phase: str
    step: int
    total: int

    @property
    def share(self) -> float:
        """Share of the phase that is done, 0 to 1, for annealing schedules."""
        return self.step / max(self.total, 1)


@dataclass(frozen=True)
class Event:
    """What `fit` yields at intervals: means since the last event, learning rates, skipped steps so far.

    Attributes:
        clock: the place in training.
        losses: player -> mean loss.
        rates: player -> learning rate.
        skipped: steps of the phase that were left out because they were not finite.
        norms: player -> mean norm of its gradient, before clipping.
        health: name -> mean of what the model wrote into `diagnostics`, and what a probe of the model found.
    """

    clock: Clock
    losses: dict[str, float]
    rates: dict[str, float]
    skipped: int = 0
    norms: dict[str, float] = field(default_factory=dict)
    health: dict[str, float] = field(default_factory=dict)

    def iterate_columns(self) -> Iterator[tuple[str, float]]:
        """Names and values as curves and MLflow have them: `loss.X`, `lr.X`, `grad_norm.X`, `health.X`."""
        for kind, values in (("loss", self.losses), ("lr", self.rates), ("grad_norm", self.norms)):
            yield from ((f"{kind}.{name}", value) for name, value in values.items())
        yield from ((f"health.{name}", value) for name, value in self.health.items())


@dataclass(frozen=True)
class Draw:
    """How to sample categorical outputs: softmax temperature, top-k, and top-p (nucleus) truncation; 0 and 1: none."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
