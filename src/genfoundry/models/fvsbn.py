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

from genfoundry.models.base import Hyper
from genfoundry.models.families.ancestral import AncestralModel
from genfoundry.nn.autoregressive.ancestral import Canvas, raster_order
from genfoundry.nn.heads.base import upcast
from genfoundry.nn.heads.categorical_sampling import sample_categorical
from genfoundry.types import Batch, Spec


class Fvsbn(AncestralModel):
    """x (B, C, H, W) of 0 and 1 -> (B, dims) logits, each from the pixels before it."""

    class Config(Hyper):
        """It has no hyperparameters."""

    defaults: ClassVar[Mapping[str, Any]] = {"batch": 64, "lr": {"model": 5e-3}, "betas": [0.9, 0.99]}
    raster: Tensor
    mask: Tensor

    @classmethod
    def why_unsupported(cls, levels: int | None) -> str:
        return "" if levels == 2 else f"expected levels: 2 (its output is a sigmoid), got {levels or 'real values'}"

    def __init__(self, spec: Spec, config: Hyper) -> None:
        super().__init__(spec, config)
        self.weight = nn.Parameter(torch.zeros(spec.dims, spec.dims))
        self.bias = nn.Parameter(torch.zeros(spec.dims))
        self.register_buffer("raster", raster_order(spec), persistent=False)
        self.register_buffer("mask", torch.ones(spec.dims, spec.dims).tril(-1), persistent=False)

    def logits(self, x: Tensor) -> Tensor:
        """Map x to (B, dims) logits in raster order."""
        signs = self._to_signs(x.flatten(1)[:, self.raster])  # (B, dims)
        return F.linear(signs, self.weight * self.mask, self.bias)

    def _to_signs(self, x: Tensor) -> Tensor:
        """0 and 1 -> -1 and 1, in the type of the weights."""
        return 2 * x.to(self.weight.dtype) - 1

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        logits = upcast(self.logits(batch.x))
        target = batch.x.flatten(1)[:, self.raster].to(logits.dtype)  # (B, dims)
        return {"nll": F.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(1)}

    def order(self) -> Tensor:
        return self.raster

    def predict(self, batch: Batch) -> Tensor:
        # The inverse permutation returns each logit to its place in the image
        logits = upcast(self.logits(batch.x))[:, self.raster.argsort()].view(batch.x.shape)
        return F.logsigmoid(torch.stack([-logits, logits], -1))  # (B, C, H, W, 2)

    def fill(self, canvas: Canvas, label: Tensor | None = None, prompt: Tensor | None = None) -> None:
        """Draw every pixel of the canvas: each costs one row of the weights."""
        signs = self.weight.new_zeros(len(canvas.x), self.spec.dims)  # in raster order
        for i, position in enumerate(self.raster.tolist()):
            logit = signs[:, :i] @ self.weight[i, :i] + self.bias[i]  # (n,)
            # The softmax of (-logit / 2, logit / 2) is the sigmoid of the logit
            value = sample_categorical(torch.stack([-logit, logit], -1) / 2, canvas.draw)
            signs[:, i] = self._to_signs(canvas.put(position, value))
