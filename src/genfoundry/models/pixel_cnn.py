"""Gated PixelCNN (van den Oord et al. 2016, arXiv:1606.05328), with the output of PixelCNN++ (arXiv:1701.05517).

p(x) = prod_i p(x_i | x_<i) over pixels in raster order and the channels of each. A vertical and a horizontal stack of
gated convolutions see all earlier pixels within reach; the class enters the horizontal one in every layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from genfoundry.models.base import Hyper
from genfoundry.models.families.ancestral import AncestralModel
from genfoundry.nn.autoregressive.ancestral import Canvas, class_log_shares, raster_order
from genfoundry.nn.autoregressive.gated_pixelcnn import GatedStack
from genfoundry.nn.heads.pixel_readout import PixelReadout
from genfoundry.types import Batch, Clock, Spec


class PixelCnn(AncestralModel):
    """x (B, C, H, W) -> the distribution of every value given the values before it.

    Where the data have classes it models p(x | class); p(x) is the exact sum over classes of p(class) p(x | class), for
    which the vertical stack is computed once. In training, unlabelled items form a class of their own.
    """

    class Config(Hyper):
        """`reach`: how far a layer sees, the first one farther by 1; `mixtures`: logistics, for more than 32 levels."""

        width: int = Field(8, ge=1)
        layers: int = Field(2, ge=1)
        reach: int = Field(1, ge=1)
        mixtures: int = Field(3, ge=1)
        classes: bool = True

    defaults: ClassVar[Mapping[str, Any]] = {"batch": 16, "lr": {"model": 5e-3}, "betas": [0.9, 0.99]}
    config: Config
    raster: Tensor

    @classmethod
    def suggest_settings(cls, spec: Spec, items: int) -> dict[str, Any]:
        hyper = {"width": 32, "layers": 3 if spec.dims <= 1024 else 5, "mixtures": 5, "classes": False}
        return {"hyper": hyper, "search": {"train.lr.model": {"low": 2e-3, "high": 1e-2, "log": True}}}

    def __init__(self, spec: Spec, config: Config) -> None:
        super().__init__(spec, config)
        classes = spec.classes + 1 if self.conditional else 0  # + 1: unlabelled
        self.stack = GatedStack(spec.shape[0] + 1, config.width, config.layers, reach=config.reach, classes=classes)
        self.readout = PixelReadout(spec, config.width, config.mixtures)
        self.register_buffer("raster", raster_order(spec), persistent=False)

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        yield {"model": self.readout.nll(self.features(batch), batch.x.movedim(1, -1)).mean() / self.spec.dims}

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        x, inputs = batch.x.movedim(1, -1), self._to_input(batch.x)  # (B, H, W, C), (B, C + 1, H, W)
        links, joint = self.stack.run_vertical(inputs), []
        for log_share, label in class_log_shares(self.spec) if self.conditional else [(0.0, -1)]:
            # Eq. 4: the class biases every layer of the horizontal stack
            features = self.stack.run_horizontal(inputs, links, self.class_index(label, len(x)))
            joint.append(log_share - self.readout.nll(features.movedim(1, -1), x))  # log p(class, x), (B,)
        return {"nll": -torch.stack(joint).logsumexp(0)}  # -log of the sum over classes

    def _to_input(self, x: Tensor) -> Tensor:
        """(B, C, ...) levels -> (B, C + 1, ...), channels last: values in [-1, 1], and 1 where the image is."""
        values = self.readout.scale_levels(x.movedim(1, -1))
        return torch.cat([values, torch.ones_like(values[..., :1])], -1).movedim(-1, 1)

    def features(self, batch: Batch) -> Tensor:
        """Return (B, H, W, width), each of the values before it and the label."""
        features: Tensor = self.stack(self._to_input(batch.x), self.class_index(batch.label, len(batch)))
        return features.movedim(1, -1)  # (B, H, W, width)

    def order(self) -> Tensor:
        return self.raster

    def predict(self, batch: Batch) -> Tensor:
        return self.readout.log_probs(self.features(batch), batch.x.movedim(1, -1))

    def nll_per_value(self, batch: Batch) -> Tensor:
        """Return (B, C, H, W): -log p of each value given those before it and the label."""
        return self.readout.nll_per_value(self.features(batch), batch.x.movedim(1, -1))

    def fill(self, canvas: Canvas, label: Tensor | None = None, prompt: Tensor | None = None) -> None:
        """Draw every value of the canvas; each layer is computed once a position."""
        channels, height, width = self.spec.shape

        def choose(features: Tensor, i: int, j: int) -> Tensor:
            x = canvas.x[:, :, i, j]  # (n, C), a view that `put` changes
            for c in range(channels):
                value = self.readout.sample_channel(features, x, c, canvas.draw)
                canvas.put((c * height + i) * width + j, value)  # flat in (C, H, W)
            return self._to_input(x)  # (n, C + 1)

        self.stack.scan(len(canvas.x), (height, width), choose, self.class_index(label, len(canvas.x)))
