"""Encoders and decoders of images: convolutional, by way of a quarter of the resolution, or of one hidden layer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from genfoundry.nn.conv.blocks import Residual, Up, down, halved
from genfoundry.types import Spec

Net = Literal["conv", "mlp"]
BEYOND = 2.0  # of the norms of a prior's draws, three deviations


class ConvEncoder(nn.Module):
    """(B, channels, H, W) -> (B, 2 width, H / 4, W / 4); `features` is how many values that is."""

    def __init__(self, channels: int, full: tuple[int, int], *, width: int, blocks: int) -> None:
        super().__init__()
        size = halved(full, 2)
        self.features = 2 * width * size[0] * size[1]
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 5, stride=2, padding=2), *residuals(width, blocks), nn.SiLU(),
            down(width, 2 * width), *residuals(2 * width, blocks), nn.SiLU(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)  # type: ignore[no-any-return]


class ConvDecoder(nn.Module):
    """(B, inputs) -> `begun` (B, 2 width, H / 4, W / 4) -> `finished` (B, outputs, H, W)."""

    def __init__(self, inputs: int, outputs: int, full: tuple[int, int], *, width: int, blocks: int) -> None:
        super().__init__()
        self.size, half = halved(full, 2), halved(full)
        self.spread = nn.Linear(inputs, 2 * width * self.size[0] * self.size[1])
        self.top = residuals(2 * width, blocks)
        self.body = nn.Sequential(
            *residuals(2 * width, blocks), nn.SiLU(), Up(2 * width, width, size=half),
            *residuals(width, blocks), nn.SiLU(), Up(width, outputs, size=full),
        )  # fmt: skip

    def begun(self, z: Tensor) -> Tensor:
        state = self.spread(z).view(len(z), -1, *self.size).contiguous(memory_format=torch.channels_last)
        return self.top(state)  # type: ignore[no-any-return]

    def finished(self, state: Tensor) -> Tensor:
        return self.body(state)  # type: ignore[no-any-return]

    def forward(self, z: Tensor) -> Tensor:
        return self.finished(self.begun(z))


class MlpEncoder(nn.Sequential):
    """(B, channels, H, W) -> (B, hidden)."""

    def __init__(self, channels: int, full: tuple[int, int], *, hidden: int) -> None:
        super().__init__(nn.Flatten(), nn.Linear(channels * full[0] * full[1], hidden), nn.SiLU())
        self.features = hidden


class Ball(nn.Module):
    """(B, K) codes -> the same, those outside of the ball that holds nearly all of a standard prior on its surface.

    The norm of a draw has mean sqrt(K) and deviation 0.7: what a decoder makes of codes farther out, to which training
    hardly ever comes, is what it makes of the nearest that it knows.
    """

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.radius = math.sqrt(inputs) + BEYOND

    def forward(self, z: Tensor) -> Tensor:
        norm = torch.linalg.vector_norm(z, dim=1, keepdim=True)
        inside: Tensor = z * (self.radius / norm.clamp_min(self.radius))
        return inside


class MlpDecoder(nn.Sequential):
    """(B, inputs) -> (B, outputs, H, W)."""

    def __init__(self, inputs: int, outputs: int, full: tuple[int, int], *, hidden: int) -> None:
        last = nn.Linear(hidden, outputs * full[0] * full[1])
        super().__init__(Ball(inputs), nn.Linear(inputs, hidden), nn.SiLU(), last, nn.Unflatten(1, (outputs, *full)))


@dataclass(frozen=True)
class Codec:
    """Which networks: `width` and `blocks` are the convolutional ones', `hidden` is the MLPs'."""

    net: Net
    width: int
    blocks: int
    hidden: int

    def encoder(self, spec: Spec, extra: int = 0) -> ConvEncoder | MlpEncoder:
        """The encoder of such images with `extra` channels beside their own."""
        channels, full = spec.shape[0] + extra, (spec.shape[1], spec.shape[2])
        if self.net == "mlp":
            return MlpEncoder(channels, full, hidden=self.hidden)
        return ConvEncoder(channels, full, width=self.width, blocks=self.blocks)

    def decoder(self, spec: Spec, inputs: int, outputs: int) -> ConvDecoder | MlpDecoder:
        """The decoder of `inputs` code values to `outputs` channels of such images."""
        full = (spec.shape[1], spec.shape[2])
        if self.net == "mlp":
            return MlpDecoder(inputs, outputs, full, hidden=self.hidden)
        return ConvDecoder(inputs, outputs, full, width=self.width, blocks=self.blocks)


def residuals(channels: int, count: int) -> nn.Sequential:
    """`count` residual blocks."""
    return nn.Sequential(*(Residual(channels) for _ in range(count)))


def quiet(conv: nn.Conv2d) -> nn.Conv2d:
    """`conv` with small weights and no bias: codes start near their prior."""
    nn.init.normal_(conv.weight, std=0.01)
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return conv
