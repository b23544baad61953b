"""Ancestral sampling: values are drawn one after another, each given those before it; some may be known beforehand."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from genfoundry.types import Batch, Draw, Spec


class Canvas:
    """Values `x` (n, *spec.shape), int64, that a sampler fills one by one; known values stay as they are."""

    def __init__(self, n: int, spec: Spec, device: torch.device, draw: Draw = Draw()) -> None:
        self.x = torch.zeros(n, *spec.shape, dtype=torch.int64, device=device)
        self.draw = draw
        self.known: Tensor | None = None

    @classmethod
    def from_known(cls, x: Tensor, known: Tensor, spec: Spec, order: Tensor) -> Canvas:
        """Return a canvas with the values of x (n, *shape) where `known` (bool, like x) is true.

        Raises:
            ValueError: the known values of an item are not the first in `order` (dims,).
        """
        canvas = cls(len(x), spec, x.device)
        ordered = known.flatten(1)[:, order]  # (B, dims)
        late = ordered[:, 1:] & ~ordered[:, :-1]  # known after an unknown one
        if late.any():
            item, i = late.nonzero()[0].tolist()
            raise ValueError(
                f"expected known values to be the first that the model draws; of item {item}, number {i + 1} in its "
                f"order (position {int(order[i + 1])}) is known, but not number {i} (position {int(order[i])})"
            )
        canvas.x = torch.where(known, x.long(), canvas.x)
        canvas.known = known.flatten(1)
        return canvas

    def put(self, position: int, value: Tensor) -> Tensor:
        """Write the values (n,) drawn for a flat position where none is known; returns what stands there, (n,)."""
        flat = self.x.view(len(self.x), -1)  # a view: writing to it changes `x`
        if self.known is not None:
            value = torch.where(self.known[:, position], flat[:, position], value)
        flat[:, position] = value
        return value


def joint_log_prob(model: Any, batch: Batch, *regions: Tensor) -> list[Tensor]:
    """Return for each region (bool, like x) log p(label, x in the region), (B, classes).

    A region must be a prefix of the model's order. A model that is not conditional has one column, log p(x in it).
    """
    columns: list[list[Tensor]] = [[] for _ in regions]
    for log_share, label in class_log_shares(model.spec) if model.conditional else [(0.0, None)]:
        labels = None if label is None else torch.full((len(batch),), label, device=batch.x.device)
        nll = nll_per_value(model, Batch(batch.x, batch.cond, label=labels))  # (B, *shape)
        for column, region in zip(columns, regions, strict=True):
            column.append(log_share - torch.where(region, nll, 0).flatten(1).sum(1))
    return [torch.stack(column, 1) for column in columns]


def class_log_shares(spec: Spec) -> list[tuple[float, int]]:
    """Return (log p(class), class) of every class."""
    return [(math.log(share) if share else -math.inf, label) for label, share in enumerate(spec.class_shares)]


def nll_per_value(model: Any, batch: Batch) -> Tensor:
    """Return (B, *shape): -log p of each value given those before it, by the model's own method or `predict`."""
    if hasattr(model, "nll_per_value"):
        return model.nll_per_value(batch)  # type: ignore[no-any-return]
    log_prob: Tensor = model.predict(batch).gather(-1, batch.x.long().unsqueeze(-1))  # (B, *shape, 1)
    return -log_prob[..., 0]


def raster_order(spec: Spec) -> Tensor:
    """Return (dims,) int64 flat positions of (C, H, W) row by row, the channels of a pixel one after another."""
    return torch.arange(spec.dims).view(spec.shape).permute(1, 2, 0).flatten()
