"""Convolutional building blocks.

Images are (B, C, H, W) in channels-last memory; weights are in the default format, so that every checkpoint fits.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genfoundry.types import Spec


def scale_levels(x: Tensor, spec: Spec) -> Tensor:
    """Map levels (B, C, H, W) to float32 in [-1, 1]; real values stay as they are."""
    x = x.float()
    if spec.levels is not None:
        x = x * (2.0 / (spec.levels - 1)) - 1.0
    return x.contiguous(memory_format=torch.channels_last)


def halve_size(size: tuple[int, int], times: int = 1) -> tuple[int, int]:
    """Return height and width after `times` convolutions of stride 2, which round odd sizes up."""
    for _ in range(times):
        size = (-(-size[0] // 2), -(-size[1] // 2))
    return size


def downsample(inputs: int, outputs: int) -> nn.Conv2d:
    """Return a convolution (B, inputs, H, W) -> (B, outputs, ceil(H / 2), ceil(W / 2))."""
    return nn.Conv2d(inputs, outputs, 3, stride=2, padding=1)


def conv_bn_relu(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """Return a convolution with batch normalisation and ReLU, the unit of classifiers."""
    conv = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)  # the norm has a bias
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


class Crop(nn.Module):
    """(B, C, >= H, >= W) -> (B, C, H, W): removes what doubling a rounded-up odd size has added."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, : self.size[0], : self.size[1]]  # (B, C, H, W)


class Upsample(nn.Module):
    """(B, inputs, ceil(H / 2), ceil(W / 2)) -> (B, outputs, H, W): sub-pixel convolution (Shi et al. 2016)."""

    def __init__(self, inputs: int, outputs: int, *, size: tuple[int, int]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, 4 * outputs, 3, padding=1)  # 4: the pixels of a 2 x 2 cell
        self.crop = Crop(size)

    def forward(self, x: Tensor) -> Tensor:
        cropped: Tensor = self.crop(F.pixel_shuffle(self.conv(x), 2))  # channels become 2 x 2 pixels
        return cropped


class ResidualBlock(nn.Module):
    """x + f(x) with two convolutions. The second starts at 0, so that a new block is the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.second(F.silu(self.first(F.silu(x))))
        return x + h


def residual_blocks(channels: int, count: int) -> nn.Sequential:
    """Return `count` residual blocks."""
    return nn.Sequential(*(ResidualBlock(channels) for _ in range(count)))
