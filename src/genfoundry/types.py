"""The frozen values that travel between data, models, the loop and the stages.

Letters, project-wide: B batch, C channels, H W height and width, T time, D features, K codes.
Likelihoods are in nats; bits/dim and nats/char appear at the reporting edge only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Spec:
    """What one sample is: image (C,H,W), text (T,), series (T,D), video (T,C,H,W).

    `levels` an int: `Batch.x` is integer in 0..levels-1; None: `Batch.x` is float32, a series' float64. `cond_shape` is
    that of `Batch.cond` (a source sentence, the values before a window), `class_counts` the counts of the labels that
    training sees.
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
        """p(class): the shares of the labels that training sees, 0 of a class left out; alike where it sees none."""
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
    """`x` is (B, *spec.shape); `label` is (B,) int64 with -1 for unlabelled; `cond` is (B, *spec.cond_shape).

    `fresh` (B,) bool is there when row b goes on where row b of the batch before ended, but for the rows that it marks:
    these begin anew. `x` is then (B, L), pieces of any length.
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
    """Where training stands: `step` counts from 0 within `phase`, which has `total` steps."""

    phase: str
    step: int
    total: int

    @property
    def share(self) -> float:
        """Share of the phase that is done, 0 to 1: what annealing schedules read."""
        return self.step / max(self.total, 1)


@dataclass(frozen=True)
class Event:
    """What `fit` yields now and then: mean losses since the last event, learning rates now, skipped steps so far."""

    clock: Clock
    losses: dict[str, float]
    rates: dict[str, float]
    skipped: int = 0


@dataclass(frozen=True)
class Draw:
    """How to draw from categorical outputs: softmax temperature, the k likeliest, the likeliest of total mass p."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
