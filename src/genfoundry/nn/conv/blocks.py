"""Convolutional parts. Images are (B, C, H, W) in channels-last memory; weights are not, so any checkpoint fits."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genfoundry.types import Spec


def scaled(x: Tensor, spec: Spec) -> Tensor:
    """(B, C, H, W) levels -> float32 in -1..1; real values stay as they are."""
    x = x.float()
    if spec.levels is not None:
        x = x * (2.0 / (spec.levels - 1)) - 1.0
    return x.contiguous(memory_format=torch.channels_last)


def halved(size: tuple[int, int], times: int = 1) -> tuple[int, int]:
    """Height and width after `times` convolutions of stride 2: odd sizes round up."""
    for _ in range(times):
        size = (-(-size[0] // 2), -(-size[1] // 2))
    return size


def down(inputs: int, outputs: int) -> nn.Conv2d:
    """(B, inputs, H, W) -> (B, outputs, ceil(H / 2), ceil(W / 2))."""
    return nn.Conv2d(inputs, outputs, 3, stride=2, padding=1)


def stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """Convolution, batch normalisation, rectifier: what classifiers are made of."""
    conv = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


class Crop(nn.Module):
    """(B, C, >= H, >= W) -> (B, C, H, W): what doubling an odd size that was rounded up has too much."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, : self.size[0], : self.size[1]]


class Up(nn.Module):
    """(B, inputs, ceil(H / 2), ceil(W / 2)) -> (B, outputs, H, W): a convolution, then pixels from channels."""

    def __init__(self, inputs: int, outputs: int, *, size: tuple[int, int], kernel: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, 4 * outputs, kernel, padding=kernel // 2)
        self.crop = Crop(size)

    def forward(self, x: Tensor) -> Tensor:
        cropped: Tensor = self.crop(F.pixel_shuffle(self.conv(x), 2))
        return cropped


class Residual(nn.Module):
    """x + f(x) with two convolutions, the second starting at 0: a new block is the identity."""

    def __init__(self, channels: int, *, hidden: int | None = None) -> None:
        super().__init__()
        hidden = hidden or channels
        self.first = nn.Conv2d(channels, hidden, 3, padding=1)
        self.second = nn.Conv2d(hidden, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.second(F.silu(self.first(F.silu(x))))
        return x + h
