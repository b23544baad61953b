"""PixelRNN with Diagonal BiLSTM layers (van den Oord et al. 2016, arXiv:1601.06759, sections 3.2 and 3.3).

A convolution gives each position what is near it, above and on its left; residual layers of two LSTMs carry the rest of
the rows above and of its own row. As published, most positions miss one pixel, the last of the row above: only features
of the rows above carry pixels to them, and that pixel comes before none of these features. Here the first LSTM from the
right, whose map is shifted down by a row, reads the pixels as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from genfoundry.models.base import Hyper
from genfoundry.models.families.ancestral import AncestralModel
from genfoundry.nn.autoregressive.ancestral import Canvas, raster_order
from genfoundry.nn.autoregressive.diagonal_bilstm import BiLstmScan, DiagonalBiLstm, Diagonals
from genfoundry.nn.heads.pixel_readout import PixelReadout
from genfoundry.types import Batch, Clock, Spec

CHUNK = 20  # images that evaluation runs together; the states of many more leave the cache and take 1.7 times as long


class PixelRnn(AncestralModel):
    """x (B, C, H, W) -> the distribution of every value given the values before it."""

    class Config(Hyper):
        """`width`: units of an LSTM, features are twice as many; `reach`: rows above and columns beside of the
        convolution; `mixtures`: logistics, for more than 32 levels."""

        width: int = Field(8, ge=1)
        layers: int = Field(2, ge=1)
        reach: int = Field(3, ge=1)
        mixtures: int = Field(3, ge=1)

    defaults: ClassVar[Mapping[str, Any]] = {"batch": 16, "lr": {"model": 8e-3}, "betas": [0.9, 0.99]}
    config: Config

    @classmethod
    def suggest_settings(cls, spec: Spec, items: int) -> dict[str, Any]:
        hyper = {"width": 32 if items >= 2000 else 16, "layers": 3, "mixtures": 5}
        return {"hyper": hyper, "search": {"train.lr.model": {"low": 3e-3, "high": 2e-2, "log": True}}}

    def __init__(self, spec: Spec, config: Config) -> None:
        super().__init__(spec, config)
        channels, features, reach = spec.shape[0], 2 * config.width, config.reach
        self.size = (spec.shape[1], spec.shape[2])
        self.above = nn.Conv2d(channels, features, (reach, 2 * reach + 1))
        self.beside = nn.Conv2d(channels, features, (1, reach), bias=False)
        self.own = nn.Linear(channels, features, bias=False)
        self.layers: list[DiagonalBiLstm] = nn.ModuleList(  # type: ignore[assignment]
            DiagonalBiLstm(features, config.width) for _ in range(config.layers)
        )
        self.diagonals = Diagonals(self.size)
        self.readout = PixelReadout(spec, features, config.mixtures)

    def features(self, x: Tensor) -> Tensor:
        """Map levels (B, C, H, W) to (B, H, W, features), each of all positions before it."""
        values, reach = self.readout.scale_levels(x), self.config.reach
        # Without the last row, and with rows of zeros on top: a position sees only rows above its own
        near = self.above(F.pad(values[:, :, :-1], (reach, reach, reach, 0)))
        near = near + self.beside(F.pad(values[..., :-1], (reach, 0)))  # (B, features, H, W)
        features, pixels = (part.permute(2, 3, 0, 1).flatten(0, 1) for part in (near, values))  # (H W, B, ...)
        # The pixel that the published network misses; see above
        from_right = features + self.own(pixels)
        for layer in self.layers:
            features = layer(features, from_right, self.diagonals)  # (H W, B, features)
            from_right = features
        return features.view(*self.size, len(x), -1).permute(2, 0, 1, 3)  # (B, H, W, features)

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        chunks = [batch.x] if torch.is_grad_enabled() else torch.split(batch.x, CHUNK)
        return {"nll": torch.cat([self.readout.nll(self.features(x), x.movedim(1, -1)) for x in chunks])}

    def nll_per_value(self, batch: Batch) -> Tensor:
        """Return (B, C, H, W): -log p of each value given those before it."""
        return self.readout.nll_per_value(self.features(batch.x), batch.x.movedim(1, -1))

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        yield {"model": self.measure(batch)["nll"].mean() / self.spec.dims}

    def order(self) -> Tensor:
        return raster_order(self.spec).to(self.device)

    def predict(self, batch: Batch) -> Tensor:
        return self.readout.log_probs(self.features(batch.x), batch.x.movedim(1, -1))

    def fill(self, canvas: Canvas, label: Tensor | None = None, prompt: Tensor | None = None) -> None:
        """Draw every value of the canvas: a position costs each layer one step from the left and one from the right."""
        n, (height, width), reach = len(canvas.x), self.size, self.config.reach
        channels, readout = self.spec.shape[0], self.readout
        scan = BiLstmScan(self.layers, n, width)
        values = self.own.weight.new_zeros(n, channels, reach + height, width + 2 * reach)  # in a margin of zeros
        beside = self.beside.weight.flatten(1).T  # (C reach, features)
        for i in range(height):
            above = self.above(values[:, :, i : i + reach])[:, :, 0].permute(2, 0, 1)  # (W, n, features)
            for j in range(width):
                near = torch.addmm(above[j], values[:, :, reach + i, j : j + reach].flatten(1), beside)
                features, x = scan.step(near, j), canvas.x[:, :, i, j]  # (n, features), (n, C)
                for c in range(channels):
                    canvas.put((c * height + i) * width + j, readout.sample_channel(features, x, c, canvas.draw))
                values[:, :, reach + i, reach + j] = readout.scale_levels(x)
            if i + 1 < height:
                scan.end_row(self.own(values[:, :, reach + i, reach : reach + width].permute(2, 0, 1)))
                scan.start_row()
