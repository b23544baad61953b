"""Autoregressive models of discrete values that sample and inpaint by ancestral sampling."""

from __future__ import annotations

import torch
from torch import Tensor

from genfoundry.models.base import GenerativeModel
from genfoundry.nn.autoregressive.ancestral import Canvas, class_log_shares, joint_log_prob
from genfoundry.types import Batch, Draw


class AncestralModel(GenerativeModel):
    """p(x) = prod_i p(x_i | x_<i) in the order of `order()`; a subclass defines `order`, `predict` and `fill`."""

    @classmethod
    def why_unsupported(cls, levels: int | None) -> str:
        return "" if levels else "expected a number of levels, such as levels: 256, got real values"

    def order(self) -> Tensor:
        """Return (dims,) int64: flat positions in x, in the order in which they are drawn."""
        raise NotImplementedError

    def predict(self, batch: Batch) -> Tensor:
        """Return (B, *spec.shape, levels) log-probabilities of each value's levels given the values before it."""
        raise NotImplementedError

    def fill(self, canvas: Canvas, label: Tensor | None = None, prompt: Tensor | None = None) -> None:
        """Draw every value of the canvas in the model's order, given labels (n,) and, of a text, a prompt (n, P)."""
        raise NotImplementedError

    @torch.no_grad()
    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        canvas = Canvas(n, self.spec, self.device, draw)
        if self.conditional and label is None:
            shares = torch.tensor([share for share, _ in class_log_shares(self.spec)], device=self.device).exp()
            label = torch.multinomial(shares, n, replacement=True)
        self.fill(canvas, label, cond)
        return canvas.x

    @torch.no_grad()
    def complete(self, x: Tensor, known: Tensor) -> Tensor:
        """Return (B, *shape): x where `known` is true, and the rest drawn given these values, exactly.

        The label of a class-conditional model is first drawn from p(label | known values).

        Raises:
            ValueError: the known values are not the first in the model's order.
        """
        canvas = Canvas.from_known(x, known, self.spec, self.order())
        label = None
        if self.conditional:
            (scores,) = joint_log_prob(self, Batch(torch.where(known, x, 0)), known)  # (B, classes)
            label = torch.multinomial(scores.softmax(1), 1)[:, 0]
        self.fill(canvas, label)
        return canvas.x
