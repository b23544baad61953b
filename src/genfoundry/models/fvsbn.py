"""Fully visible sigmoid belief network (Neal 1992, "Connectionist learning of belief networks"; Frey 1998).

p(x_i = 1 | x_<i) = sigmoid(b_i + sum_{j < i} W_ij x_j): a logistic regression of each pixel on all pixels before it, in
raster order, the channels of a pixel one after another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genfoundry.models.base import GenerativeModel, Hyper
from genfoundry.nn.autoregressive.ancestral import Canvas, completed, drawn, raster_order
from genfoundry.nn.heads.base import wide
from genfoundry.nn.heads.categorical_sampling import sample_categorical
from genfoundry.types import Batch, Draw, Spec


class Fvsbn(GenerativeModel):
    """x (B, C, H, W) of 0 and 1 -> (B, dims) logits, each from the pixels before it."""

    class Config(Hyper):
        """It has nothing to choose."""

    defaults: ClassVar[Mapping[str, Any]] = {"batch": 64, "lr": {"model": 5e-3}, "betas": [0.9, 0.99]}
    places: Tensor
    earlier: Tensor

    @classmethod
    def why_unsupported(cls, levels: int | None) -> str:
        return "" if levels == 2 else f"a sigmoid is for 2 levels, not {levels or 'real values'}; levels: 2 is right"

    def __init__(self, spec: Spec, config: Hyper) -> None:
        super().__init__(spec, config)
        self.weight = nn.Parameter(torch.zeros(spec.dims, spec.dims))
        self.bias = nn.Parameter(torch.zeros(spec.dims))
        self.register_buffer("places", raster_order(spec), persistent=False)
        self.register_buffer("earlier", torch.ones(spec.dims, spec.dims).tril(-1), persistent=False)

    def logits(self, x: Tensor) -> Tensor:
        """(B, dims), in the order of drawing."""
        signs = self.signs(x.flatten(1)[:, self.places])
        return F.linear(signs, self.weight * self.earlier, self.bias)

    def signs(self, x: Tensor) -> Tensor:
        """0 and 1 -> -1 and 1, in the weights' type."""
        return 2 * x.to(self.weight.dtype) - 1

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        logits = wide(self.logits(batch.x))
        truth = batch.x.flatten(1)[:, self.places].to(logits.dtype)
        return {"nll": F.binary_cross_entropy_with_logits(logits, truth, reduction="none").sum(1)}

    def order(self) -> Tensor:
        return self.places

    def predict(self, batch: Batch) -> Tensor:
        logits = wide(self.logits(batch.x))[:, self.places.argsort()].view(batch.x.shape)
        return F.logsigmoid(torch.stack([-logits, logits], -1))

    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        return drawn(self, n, label, draw)

    def complete(self, x: Tensor, known: Tensor) -> Tensor:
        return completed(self, x, known)

    def fill(self, canvas: Canvas, label: Tensor | None = None) -> None:
        """Put every pixel on the canvas: a pixel costs one row of the weights."""
        drawn = self.weight.new_zeros(len(canvas.x), self.spec.dims)
        for i, position in enumerate(self.places.tolist()):
            logit = drawn[:, :i] @ self.weight[i, :i] + self.bias[i]
            drawn[:, i] = self.signs(
                canvas.put(position, sample_categorical(torch.stack([-logit, logit], -1) / 2, canvas.draw))
            )
