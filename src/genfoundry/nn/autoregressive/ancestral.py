"""Ancestral sampling: values are drawn one after another, each given those before it; some may be known beforehand."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from genfoundry.types import Batch, Draw, Spec


class Canvas:
    """Values `x` (n, *spec.shape), int64, that are put down one by one; those that are known stay as they are."""

    def __init__(self, n: int, spec: Spec, device: torch.device, draw: Draw = Draw()) -> None:
        self.x = torch.zeros(n, *spec.shape, dtype=torch.int64, device=device)
        self.draw = draw
        self.known: Tensor | None = None

    @classmethod
    def given(cls, x: Tensor, known: Tensor, spec: Spec, order: Tensor) -> Canvas:
        """A canvas on which the values of x (n, *shape) lie where `known` (bool, like x) is true.

        Raises:
            ValueError: what is known of an item is not what `order` (dims,) draws first.
        """
        canvas = cls(len(x), spec, x.device)
        drawn = known.flatten(1)[:, order]
        late = drawn[:, 1:] & ~drawn[:, :-1]
        if late.any():
            item, place = late.nonzero()[0].tolist()
            raise ValueError(
                f"known values must be the first that the model draws: of item {item}, number {place + 1} in its order "
                f"(position {int(order[place + 1])}) is known, but not number {place} (position {int(order[place])})"
            )
        canvas.x = torch.where(known, x.long(), canvas.x)
        canvas.known = known.flatten(1)
        return canvas

    def put(self, position: int, value: Tensor) -> Tensor:
        """Put the values (n,) drawn for a flat position where none is known; returns what stands there, (n,)."""
        flat = self.x.view(len(self.x), -1)
        if self.known is not None:
            value = torch.where(self.known[:, position], flat[:, position], value)
        flat[:, position] = value
        return value


@torch.no_grad()
def drawn(model: Any, n: int, label: Tensor | None, draw: Draw, *prompt: Tensor | None) -> Tensor:
    """(n, *shape): every value drawn in the model's order; labels that are not given have the classes' shares."""
    canvas = Canvas(n, model.spec, model.device, draw)
    if model.conditional and label is None:
        mass = torch.tensor([share for share, _ in class_log_shares(model.spec)], device=model.device).exp()
        label = torch.multinomial(mass, n, replacement=True)
    model.fill(canvas, label, *prompt)
    return canvas.x


@torch.no_grad()
def completed(model: Any, x: Tensor, known: Tensor) -> Tensor:
    """(B, *shape): x where `known` is true, and the rest drawn given it, exactly.

    `model` is `Autoregressive` and has `fill(canvas, label)`, which puts every value on a canvas in its order. A
    class-conditional model's label is drawn from p(label | what is known) first.

    Raises:
        ValueError: what is known is not what the model draws first.
    """
    canvas = Canvas.given(x, known, model.spec, model.order())
    label = None
    if model.conditional:
        (scores,) = joint_log_prob(model, Batch(torch.where(known, x, 0)), known)
        label = torch.multinomial(scores.softmax(1), 1)[:, 0]
    model.fill(canvas, label)
    return canvas.x


def joint_log_prob(model: Any, batch: Batch, *where: Tensor) -> list[Tensor]:
    """For each `where` (bool, like x), (B, classes): log p(label, the values there), which are a prefix of the order.

    One column, log p of the values, of a model that is not conditional.
    """
    each: list[list[Tensor]] = [[] for _ in where]
    for log_share, label in class_log_shares(model.spec) if model.conditional else [(0.0, None)]:
        labels = None if label is None else torch.full((len(batch),), label, device=batch.x.device)
        cost = nll_per_value(model, Batch(batch.x, batch.cond, label=labels))
        for columns, there in zip(each, where, strict=True):
            columns.append(log_share - torch.where(there, cost, 0).flatten(1).sum(1))
    return [torch.stack(columns, 1) for columns in each]


def class_log_shares(spec: Spec) -> list[tuple[float, int]]:
    """(log p(class), class) of every class."""
    return [(math.log(share) if share else -math.inf, label) for label, share in enumerate(spec.class_shares)]


def nll_per_value(model: Any, batch: Batch) -> Tensor:
    """(B, *shape): -log p of each value given those before it: the model's own `nats`, else chosen from `predict`."""
    if hasattr(model, "nll_per_value"):
        return model.nll_per_value(batch)  # type: ignore[no-any-return]
    chosen: Tensor = model.predict(batch).gather(-1, batch.x.long().unsqueeze(-1))
    return -chosen[..., 0]


def raster_order(spec: Spec) -> Tensor:
    """(dims,) int64: flat positions of (C, H, W) row by row, the channels of a pixel one after another."""
    return torch.arange(spec.dims).view(spec.shape).permute(1, 2, 0).flatten()
