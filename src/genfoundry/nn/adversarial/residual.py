"""Plain residual generator and critic, without normalisation (R3GAN: Huang et al. 2024, arXiv:2501.05441, section 4).

Inverted bottlenecks with grouped convolutions, as in ResNeXt; bilinear resampling; leaky ReLU. As in Fixup (Zhang et
al. 2019, arXiv:1901.09321), the last convolution of each block starts at 0 and the others are scaled down by the number
of blocks, so that a deep network without normalisation begins as a shallow one.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genfoundry.nn.conv.blocks import Crop, halve_size
from genfoundry.types import Spec

SLOPE = 0.2  # of the leaky ReLU below 0
GAIN = math.sqrt(2 / (1 + SLOPE**2))  # keeps the variance through it (He et al. 2015, arXiv:1502.01852, eq. 15)
EXPANSION = 2  # channels within a block, over those between blocks
SMALLEST = 5  # neither side of the coarsest stage is longer
CAP = 4  # channels of a stage, over those of the finest, at most


def stage_sizes(spec: Spec, patch: int) -> list[tuple[int, int]]:
    """Return height and width of each stage, the finest first: halved until neither is above `SMALLEST`."""
    sizes = [halve_size((spec.shape[1], spec.shape[2]), int(math.log2(patch)))]
    while max(sizes[-1]) > SMALLEST:
        sizes.append(halve_size(sizes[-1]))
    return sizes


def stage_widths(width: int, stages: int) -> list[int]:
    """Return the channels of each stage, the finest first: doubled from stage to stage, `CAP` times `width` at most."""
    return [width * min(2**i, CAP) for i in range(stages)]


class Bilinear(nn.Module):
    """(B, C, *before) -> (B, C, *after): bilinear interpolation, by a filter wide enough for what is made smaller.

    It equals `F.interpolate(mode="bilinear", antialias=True)`, whose gradient has no deterministic kernel on a GPU.
    """

    def __init__(self, before: tuple[int, int], after: tuple[int, int]) -> None:
        super().__init__()
        self.rows: Tensor
        self.columns: Tensor
        self.register_buffer("rows", interpolation_matrix(before[0], after[0]), persistent=False)
        self.register_buffer("columns", interpolation_matrix(before[1], after[1]), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)  # (B, H, W, C), contiguous in channels-last memory
        x = (self.rows @ x.flatten(2)).view(len(x), -1, *x.shape[2:])  # (B, h, W, C)
        return (self.columns @ x).permute(0, 3, 1, 2)  # (B, C, h, w)


def interpolation_matrix(before: int, after: int) -> Tensor:
    """Return (after, before) weights of a triangle filter, each row of which sums to 1."""
    scale = before / after
    centre = (torch.arange(after, dtype=torch.float64)[:, None] + 0.5) * scale - 0.5
    distance = (torch.arange(before, dtype=torch.float64) - centre).abs() / max(scale, 1.0)
    weight = (1 - distance).clamp_min(0)
    return (weight / weight.sum(1, keepdim=True)).float()


class ResidualBlock(nn.Module):
    """x + f(x): 1x1 to twice the channels, 3x3 in groups of `group` channels, 1x1 back."""

    def __init__(self, channels: int, group: int, blocks: int) -> None:
        super().__init__()
        inner = EXPANSION * channels
        # gcd: a width that is no multiple of `group` has larger groups
        self.expand = nn.Conv2d(channels, inner, 1)
        self.spread = nn.Conv2d(inner, inner, 3, padding=1, groups=math.gcd(inner, max(1, inner // group)))
        self.reduce = nn.Conv2d(inner, channels, 1, bias=False)
        for layer in (self.expand, self.spread):
            initialise(layer, GAIN * blocks**-0.25)  # blocks ** (-1 / (2 m - 2)) of Fixup, with m = 3 layers
        nn.init.zeros_(self.reduce.weight)

    def forward(self, x: Tensor) -> Tensor:
        h = F.leaky_relu(self.expand(x), SLOPE)
        h = F.leaky_relu(self.spread(h), SLOPE)
        return x + self.reduce(h)  # type: ignore[no-any-return]


def initialise(layer: nn.Conv2d | nn.Linear, gain: float = 1.0) -> nn.Module:
    """Draw weights from a normal distribution, of variance gain^2 / fan-in; biases are 0."""
    nn.init.normal_(layer.weight, std=gain / math.sqrt(layer.weight[0].numel()))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class ResidualGenerator(nn.Module):
    """Codes (B, latent + classes) -> images (B, C, H, W) in [-1, 1], or real values where the spec has no levels.

    Args:
        spec: of the images.
        latent: normal values of a code.
        classes: of a code's one-hot class; 0 for none.
        width: channels of the finest stage.
        blocks: residual blocks of each stage.
        group: channels of a group of the grouped convolutions.
        patch: side of the squares of pixels that the finest stage works on: 1, 2 or 4.
    """

    def __init__(
        self, spec: Spec, latent: int, *, width: int, blocks: int, group: int, patch: int, classes: int = 0
    ) -> None:
        super().__init__()
        sizes = stage_sizes(spec, patch)[::-1]
        widths, total = stage_widths(width, len(sizes))[::-1], blocks * len(sizes)
        self.mix = nn.Linear(latent + classes, widths[0], bias=False)
        initialise(self.mix)
        nn.init.normal_(self.mix.weight[:, latent:])  # a one-hot class has a single 1, and counts as much as the rest
        self.basis = nn.Parameter(torch.randn(*sizes[0], widths[0]))
        layers = [ResidualBlock(widths[0], group, total) for _ in range(blocks)]
        self.body = nn.Sequential(*layers)
        for (before, size), (inner, outer) in zip(pairwise(sizes), pairwise(widths), strict=True):
            if inner != outer:
                self.body.append(initialise(nn.Conv2d(inner, outer, 1, bias=False)))
            self.body.append(Bilinear(before, size))
            self.body.extend(ResidualBlock(outer, group, total) for _ in range(blocks))
        channels, full = spec.shape[0] * patch**2, (spec.shape[1], spec.shape[2])
        paint = initialise(nn.Conv2d(width, channels, min(2 * patch - 1, 3), padding=min(patch - 1, 1)))
        # Unlike the paper's linear output, this meets backgrounds at the end of the range; real values have none
        squash = nn.Identity() if spec.levels is None else nn.Tanh()
        self.paint = nn.Sequential(paint, nn.PixelShuffle(patch), Crop(full), squash)

    def forward(self, code: Tensor) -> Tensor:
        x = self.mix(code)[:, None, None] * self.basis  # (B, h, w, C)
        return self.paint(self.body(x.permute(0, 3, 1, 2)))  # type: ignore[no-any-return]


class ResidualCritic(nn.Module):
    """Images (B, C, H, W), and their classes one-hot (B, classes), -> scores (B,).

    The class enters by the inner product of its embedding and the features (Miyato and Koyama 2018, arXiv:1802.05637,
    eq. 3). The other arguments are those of `ResidualGenerator`.
    """

    def __init__(self, spec: Spec, *, width: int, blocks: int, group: int, patch: int, classes: int = 0) -> None:
        super().__init__()
        sizes = stage_sizes(spec, patch)
        widths, total = stage_widths(width, len(sizes)), blocks * len(sizes)
        # Patches overlap, and are as many as stages expect: ceil(H / patch) by ceil(W / patch)
        self.look = initialise(nn.Conv2d(spec.shape[0], width, 2 * patch - 1, stride=patch, padding=patch - 1))
        self.body = nn.Sequential(*(ResidualBlock(width, group, total) for _ in range(blocks)))
        for (size, after), (outer, inner) in zip(pairwise(sizes), pairwise(widths), strict=True):
            self.body.append(Bilinear(size, after))
            if inner != outer:
                self.body.append(initialise(nn.Conv2d(outer, inner, 1, bias=False)))
            self.body.extend(ResidualBlock(inner, group, total) for _ in range(blocks))
        self.basis = nn.Parameter(torch.randn(*sizes[-1], widths[-1]) / math.sqrt(math.prod(sizes[-1])))
        self.score = initialise(nn.Linear(widths[-1], 1, bias=False))
        self.embed = nn.Linear(classes, widths[-1], bias=False) if classes else None
        if self.embed is not None:
            nn.init.normal_(self.embed.weight, std=widths[-1] ** -0.5)  # as `score`

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        # One channel has no memory format of its own, so that this comes after the first layer
        x = self.look(x).contiguous(memory_format=torch.channels_last)
        features = (self.body(x).permute(0, 2, 3, 1) * self.basis).sum((1, 2))  # (B, C)
        score: Tensor = self.score(features).squeeze(1)  # (B,)
        if self.embed is not None and label is not None:
            score = score + (features * self.embed(label)).sum(1)
        return score.float()
