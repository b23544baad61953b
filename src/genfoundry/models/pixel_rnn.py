"""Pixel recurrent network with Diagonal BiLSTM layers (van den Oord et al. 2016, arXiv:1601.06759).

A convolution tells each position what is near it, above and on its left; residual layers of two LSTMs carry all the
rest of the rows above and of its own row there. As published, most positions do not see one pixel, the last of the row
above: features of the rows above tell of what is before them, and it is before none of these. Here the first LSTM from
the right, whose map is shifted down by a row, reads the pixels as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from genfoundry.models.base import GenerativeModel, Hyper
from genfoundry.nn.autoregressive.ancestral import Canvas, completed, drawn, raster_order
from genfoundry.nn.autoregressive.diagonal import Diagonals
from genfoundry.nn.autoregressive.diagonal_bilstm import DiagonalBiLstm, Scan
from genfoundry.nn.heads.pixel_readout import Readout
from genfoundry.types import Batch, Clock, Draw, Spec

AT_ONCE = (
    20  # images that evaluation runs together: the states of many more leave the cache, and take 1.7 times as long
)


class PixelRnn(GenerativeModel):
    """x (B, C, H, W) -> at each position features of all earlier ones, in raster order -> its channels, one by one."""

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
    def why_unsupported(cls, levels: int | None) -> str:
        return "" if levels else "it draws one of a number of levels; levels: 256 is right"

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
        self.readout = Readout(spec, features, config.mixtures)

    def features(self, x: Tensor) -> Tensor:
        """(B, C, H, W) levels -> (B, H, W, features), each of all positions before it."""
        values, reach = self.readout.scaled(x), self.config.reach
        near = self.above(F.pad(values[:, :, :-1], (reach, reach, reach, 0)))
        near = near + self.beside(F.pad(values[..., :-1], (reach, 0)))
        features, here = (part.permute(2, 3, 0, 1).flatten(0, 1) for part in (near, values))  # (H W, B, ...)
        told = features + self.own(here)
        for layer in self.layers:
            features = layer(features, told, self.diagonals)
            told = features
        return features.view(*self.size, len(x), -1).permute(2, 0, 1, 3)

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        parts = [batch.x] if torch.is_grad_enabled() else torch.split(batch.x, AT_ONCE)
        return {"nll": torch.cat([self.readout.nll(self.features(x), x.movedim(1, -1)) for x in parts])}

    def nll_per_value(self, batch: Batch) -> Tensor:
        """(B, C, H, W): -log p of each value given those before it."""
        return self.readout.nll_per_value(self.features(batch.x), batch.x.movedim(1, -1))

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        for losses in super().losses(batch, clock):
            yield {name: loss / self.spec.dims for name, loss in losses.items()}

    def order(self) -> Tensor:
        return raster_order(self.spec).to(self.device)

    def predict(self, batch: Batch) -> Tensor:
        return self.readout.log_probabilities(self.features(batch.x), batch.x.movedim(1, -1))

    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        return drawn(self, n, label, draw)

    def complete(self, x: Tensor, known: Tensor) -> Tensor:
        return completed(self, x, known)

    def fill(self, canvas: Canvas, label: Tensor | None = None) -> None:
        """Put every value on the canvas: a position costs each layer one step from the left and one from the right."""
        n, (height, width), reach = len(canvas.x), self.size, self.config.reach
        channels, readout = self.spec.shape[0], self.readout
        scan = Scan(self.layers, n, width)
        seen = self.own.weight.new_zeros(n, channels, reach + height, width + 2 * reach)  # values, in a frame of zeros
        beside = self.beside.weight.flatten(1).T
        for i in range(height):
            above = self.above(seen[:, :, i : i + reach])[:, :, 0].permute(2, 0, 1)  # (W, n, features)
            for j in range(width):
                near = torch.addmm(above[j], seen[:, :, reach + i, j : j + reach].flatten(1), beside)
                features, x = scan.step(near, j), canvas.x[:, :, i, j]
                for c in range(channels):
                    canvas.put((c * height + i) * width + j, readout.pick(features, x, c, canvas.draw))
                seen[:, :, reach + i, reach + j] = readout.scaled(x)
            if i + 1 < height:
                scan.across(self.own(seen[:, :, reach + i, reach : reach + width].permute(2, 0, 1)))
                scan.down()
