"""Encoders and decoders of images: convolutional ones by way of a quarter of the resolution, and small MLPs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from genfoundry.nn.conv.blocks import Upsample, downsample, halve_size, residual_blocks
from genfoundry.types import Spec

Net = Literal["conv", "mlp"]
MARGIN = 2.0  # of the radius in `ClampNorm`: three standard deviations of the norm of a draw from the prior


class ConvEncoder(nn.Module):
    """(B, channels, H, W) -> (B, 2 width, H / 4, W / 4). `features` is the number of output values an item."""

    def __init__(self, channels: int, full: tuple[int, int], *, width: int, blocks: int) -> None:
        super().__init__()
        size = halve_size(full, 2)
        self.features = 2 * width * size[0] * size[1]
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 5, stride=2, padding=2), *residual_blocks(width, blocks), nn.SiLU(),
            downsample(width, 2 * width), *residual_blocks(2 * width, blocks), nn.SiLU(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)  # type: ignore[no-any-return]


class ConvDecoder(nn.Module):
    """(B, inputs) -> state (B, 2 width, H / 4, W / 4) -> (B, outputs, H, W)."""

    def __init__(self, inputs: int, outputs: int, full: tuple[int, int], *, width: int, blocks: int) -> None:
        super().__init__()
        self.size, half = halve_size(full, 2), halve_size(full)
        self.spread = nn.Linear(inputs, 2 * width * self.size[0] * self.size[1])
        self.top = residual_blocks(2 * width, blocks)
        self.body = nn.Sequential(
            *residual_blocks(2 * width, blocks), nn.SiLU(), Upsample(2 * width, width, size=half),
            *residual_blocks(width, blocks), nn.SiLU(), Upsample(width, outputs, size=full),
        )  # fmt: skip

    def expand(self, z: Tensor) -> Tensor:
        """Map codes (B, inputs) to the state at a quarter of the resolution."""
        state = self.spread(z).view(len(z), -1, *self.size).contiguous(memory_format=torch.channels_last)
        return self.top(state)  # type: ignore[no-any-return]

    def upsample(self, state: Tensor) -> Tensor:
        """Map the state to (B, outputs, H, W)."""
        return self.body(state)  # type: ignore[no-any-return]

    def forward(self, z: Tensor) -> Tensor:
        return self.upsample(self.expand(z))


class MlpEncoder(nn.Sequential):
    """(B, channels, H, W) -> (B, hidden)."""

    def __init__(self, channels: int, full: tuple[int, int], *, hidden: int) -> None:
        super().__init__(nn.Flatten(), nn.Linear(channels * full[0] * full[1], hidden), nn.SiLU())
        self.features = hidden


class ClampNorm(nn.Module):
    """Project codes (B, K) onto the ball that holds nearly all draws from a standard normal prior.

    The norm of a draw has mean sqrt(K) and standard deviation 0.7. Training hardly ever sees codes farther out, so that
    a decoder does best to treat them as the nearest codes that it knows.
    """

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.radius = math.sqrt(inputs) + MARGIN

    def forward(self, z: Tensor) -> Tensor:
        norm = torch.linalg.vector_norm(z, dim=1, keepdim=True)  # (B, 1)
        projected: Tensor = z * (self.radius / norm.clamp_min(self.radius))  # times 1 within the ball
        return projected


class MlpDecoder(nn.Sequential):
    """(B, inputs) -> (B, outputs, H, W)."""

    def __init__(self, inputs: int, outputs: int, full: tuple[int, int], *, hidden: int) -> None:
        last = nn.Linear(hidden, outputs * full[0] * full[1])
        hidden_layer = nn.Linear(inputs, hidden)
        super().__init__(ClampNorm(inputs), hidden_layer, nn.SiLU(), last, nn.Unflatten(1, (outputs, *full)))


@dataclass(frozen=True)
class Codec:
    """A choice of encoder and decoder: `width` and `blocks` of the convolutional ones, `hidden` of the MLPs."""

    net: Net
    width: int
    blocks: int
    hidden: int

    def encoder(self, spec: Spec, extra: int = 0) -> ConvEncoder | MlpEncoder:
        """Return an encoder of images with `extra` input channels beside their own."""
        channels, full = spec.shape[0] + extra, (spec.shape[1], spec.shape[2])
        if self.net == "mlp":
            return MlpEncoder(channels, full, hidden=self.hidden)
        return ConvEncoder(channels, full, width=self.width, blocks=self.blocks)

    def decoder(self, spec: Spec, inputs: int, outputs: int) -> ConvDecoder | MlpDecoder:
        """Return a decoder of `inputs` code values to `outputs` channels."""
        full = (spec.shape[1], spec.shape[2])
        if self.net == "mlp":
            return MlpDecoder(inputs, outputs, full, hidden=self.hidden)
        return ConvDecoder(inputs, outputs, full, width=self.width, blocks=self.blocks)


def init_small(conv: nn.Conv2d) -> nn.Conv2d:
    """Initialise `conv` with small weights and no bias, so that latents start near their prior."""
    nn.init.normal_(conv.weight, std=0.01)
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return conv
