"""Gated PixelCNN (van den Oord et al. 2016, arXiv:1606.05328), with the head of PixelCNN++ (arXiv:1701.05517).

p(x) = prod_i p(x_i | x_<i) over pixels in raster order and the channels of each. A vertical and a horizontal stack of
gated convolutions see all earlier pixels within reach; given a class, the horizontal one is told it in every layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from genfoundry.models.base import GenerativeModel, Hyper
from genfoundry.nn.autoregressive.ancestral import Canvas, class_log_shares, completed, drawn, raster_order
from genfoundry.nn.autoregressive.gated_pixelcnn import GatedStack
from genfoundry.nn.heads.pixel_readout import Readout
from genfoundry.types import Batch, Clock, Draw, Spec


class PixelCnn(GenerativeModel):
    """x (B, C, H, W) -> the distribution of every value given the values before it.

    Where the data have classes it models p(x | class): p(x) is the exact sum over classes of p(class) p(x | class),
    for which the vertical stack is computed once. An item without a label is of one class more in training.
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
    places: Tensor

    @classmethod
    def why_unsupported(cls, levels: int | None) -> str:
        return "its pixels have levels, not real values; levels: 256 is right" if levels is None else ""

    @classmethod
    def suggest_settings(cls, spec: Spec, items: int) -> dict[str, Any]:
        hyper = {"width": 32, "layers": 3 if spec.dims <= 1024 else 5, "mixtures": 5, "classes": False}
        return {"hyper": hyper, "search": {"train.lr.model": {"low": 2e-3, "high": 1e-2, "log": True}}}

    def __init__(self, spec: Spec, config: Config) -> None:
        super().__init__(spec, config)
        classes = spec.classes + 1 if self.conditional else 0
        self.stack = GatedStack(spec.shape[0] + 1, config.width, config.layers, reach=config.reach, classes=classes)
        self.readout = Readout(spec, config.width, config.mixtures)
        self.register_buffer("places", raster_order(spec), persistent=False)

    @property
    def conditional(self) -> bool:
        return self.config.classes and self.spec.classes > 0

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        x = batch.x.movedim(1, -1)
        yield {"model": self.readout.nll(self.features(batch), x).mean() / self.spec.dims}

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        x, read = batch.x.movedim(1, -1), self.read(batch.x)
        above, each = self.stack.above(read), []
        for log_share, label in class_log_shares(self.spec) if self.conditional else [(0.0, -1)]:
            features = self.stack.across(read, above, self.known(label, len(x)))
            each.append(log_share - self.readout.nll(features.movedim(1, -1), x))
        return {"nll": -torch.stack(each).logsumexp(0)}

    def read(self, x: Tensor) -> Tensor:
        """(B, C, ...) levels -> (B, C + 1, ...), channels last: scaled to -1..1, and where there is an image at all."""
        seen = self.readout.scaled(x.movedim(1, -1))
        return torch.cat([seen, torch.ones_like(seen[..., :1])], -1).movedim(-1, 1)

    def known(self, label: Tensor | int | None, n: int) -> Tensor | None:
        """(n,) for the stack: without a label the last class; None for a model without classes."""
        if not self.conditional:
            return None
        given = torch.as_tensor(-1 if label is None else label, device=self.device).expand(n)
        return torch.where(given < 0, self.spec.classes, given)

    def features(self, batch: Batch) -> Tensor:
        """(B, H, W, width), given the labels."""
        features: Tensor = self.stack(self.read(batch.x), self.known(batch.label, len(batch)))
        return features.movedim(1, -1)

    def order(self) -> Tensor:
        return self.places

    def predict(self, batch: Batch) -> Tensor:
        return self.readout.log_probabilities(self.features(batch), batch.x.movedim(1, -1))

    def nll_per_value(self, batch: Batch) -> Tensor:
        """(B, C, H, W): -log p of each value given those before it and the label."""
        return self.readout.nll_per_value(self.features(batch), batch.x.movedim(1, -1))

    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        return drawn(self, n, label, draw)

    def complete(self, x: Tensor, known: Tensor) -> Tensor:
        return completed(self, x, known)

    def fill(self, canvas: Canvas, label: Tensor | None = None) -> None:
        """Put every value on the canvas."""
        channels, height, width = self.spec.shape

        def choose(features: Tensor, i: int, j: int) -> Tensor:
            x = canvas.x[:, :, i, j]
            for c in range(channels):
                canvas.put((c * height + i) * width + j, self.readout.pick(features, x, c, canvas.draw))
            return self.read(x)

        self.stack.scan(len(canvas.x), (height, width), choose, self.known(label, len(canvas.x)))
