"""A small U-Net of images, of a time and, where there are any, of classes (Ho et al. 2020, arXiv:2006.11239).

Residual blocks whose time and class scale and shift the normalised activations (Dhariwal and Nichol 2021,
arXiv:2105.05233). The first convolution has stride 2, and three thin ones alone work at full resolution; the way up
adds the activations of the way down rather than concatenating them: on a processor this is a quarter of the cost.
"""

from __future__ import annotations

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genfoundry.nn.conv.blocks import Upsample, downsample, halve_size
from genfoundry.types import Spec

COARSEST = 8  # the shorter side is halved until it is at most so long, where attention is
FINE = 8  # the least number of channels at full resolution
HEAD = 32  # channels of an attention head
GROUP = 8  # channels that are normalised together: fewer are slow in channels-last memory
SLOWEST, FASTEST = 0.25, 64.0  # sinusoids of a time in [0, 1], in periods


def embed_time(t: Tensor, width: int) -> Tensor:
    """Map times (B,) in [0, 1] to sinusoids (B, width), their frequencies a geometric series (Vaswani et al. 2017)."""
    share = torch.linspace(0, 1, width // 2, device=t.device)
    periods = SLOWEST * torch.exp(share * math.log(FASTEST / SLOWEST))  # (width / 2,)
    angle = 2 * math.pi * t.float()[:, None] * periods  # (B, width / 2)
    return torch.cat([angle.sin(), angle.cos()], 1)


def group_norm(channels: int, *, affine: bool = True) -> nn.GroupNorm:
    """Return a group normalisation (Wu and He 2018, arXiv:1803.08494) for any number of channels."""
    return nn.GroupNorm(math.gcd(channels, max(1, channels // GROUP)), channels, affine=affine)


class ResidualBlock(nn.Module):
    """x + f(x; condition). The second convolution starts at 0, so that a new block is the identity."""

    def __init__(self, channels: int, condition: int) -> None:
        super().__init__()
        self.before = group_norm(channels)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.between = group_norm(channels, affine=False)  # the condition scales and shifts
        self.modulation = nn.Linear(condition, 2 * channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.modulation(condition)[:, :, None, None].chunk(2, dim=1)  # (B, channels, 1, 1) each
        h = self.between(self.first(F.silu(self.before(x))))
        h = self.second(F.silu(h * (1 + scale) + shift))
        return x + h  # type: ignore[no-any-return]


class Attention(nn.Module):
    """x + attention over all pixels, whose last layer starts at 0."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = math.gcd(channels, max(1, channels // HEAD))
        self.before = group_norm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.before(x).flatten(2).transpose(1, 2)  # (B, H W, channels)
        # (B, heads, H W, channels / heads) each
        q, k, v = self.qkv(tokens).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)  # (B, H W, channels)
        return x + self.out(attended).transpose(1, 2).reshape(x.shape)  # type: ignore[no-any-return]


class Stage(nn.Module):
    """Residual blocks at one resolution, with attention behind the first of them if asked."""

    def __init__(self, channels: int, condition: int, blocks: int, *, attention: bool) -> None:
        super().__init__()
        self.blocks: list[ResidualBlock] = nn.ModuleList(  # type: ignore[assignment]
            ResidualBlock(channels, condition) for _ in range(blocks)
        )
        self.attention = Attention(channels) if attention and blocks else None

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        for index, block in enumerate(self.blocks):
            x = block(x, condition)
            if index == 0 and self.attention is not None:
                x = self.attention(x)
        return x


class UNet(nn.Module):
    """x (B, inputs, H, W), t (B,) and label (B,) -> (B, C, H, W), 0 at first.

    Args:
        spec: the images: any size from 4 x 4 on, odd ones too, of any number of channels.
        inputs: channels of x.
        width: channels at half the resolution, doubled at each further one up to four times as many.
        blocks: residual blocks at each resolution, on the way down and on the way up.
        classes: number of classes, one of which may stand for an unknown one; 0: none.
        attention: whether pixels attend to each other at the lowest resolution.
    """

    def __init__(
        self, spec: Spec, inputs: int, width: int, blocks: int, *, classes: int = 0, attention: bool = True
    ) -> None:
        super().__init__()
        sizes = [(spec.shape[1], spec.shape[2])]
        sizes.append(halve_size(sizes[0]))
        while min(sizes[-1]) > COARSEST:
            sizes.append(halve_size(sizes[-1]))
        widths = [width * min(2**level, 4) for level in range(len(sizes) - 1)]
        self.condition = condition = 4 * width
        self.time = nn.Sequential(nn.Linear(condition, condition), nn.SiLU(), nn.Linear(condition, condition))
        self.label = nn.Embedding(classes, condition) if classes else None
        self.stem = nn.Conv2d(inputs, width, 5, stride=2, padding=2)
        lowest = len(widths) - 1
        self.down = nn.ModuleList(
            Stage(w, condition, blocks, attention=attention and level == lowest) for level, w in enumerate(widths)
        )
        self.up = nn.ModuleList(Stage(w, condition, blocks, attention=False) for w in widths)
        pairs = list(itertools.pairwise(widths))
        self.narrow = nn.ModuleList(downsample(a, b) for a, b in pairs)
        self.widen = nn.ModuleList(Upsample(b, a, size=size) for (a, b), size in zip(pairs, sizes[1:], strict=False))
        self.norm = group_norm(width)
        fine = max(FINE, width // 2)
        self.enlarge = Upsample(width, fine, size=sizes[0])
        self.pixels = nn.Conv2d(inputs, fine, 3, padding=1)
        self.texture = nn.Conv2d(fine, fine, 3, padding=1)
        self.out = nn.Conv2d(fine, spec.shape[0], 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        condition = self.time(embed_time(t, self.condition))  # (B, condition)
        if self.label is not None:
            condition = condition + self.label(label)
        condition, kept = F.silu(condition), []
        h = self.stem(x)  # (B, width, H / 2, W / 2)
        for level, stage in enumerate(self.down):
            h = stage(h, condition)
            if level < len(self.narrow):
                kept.append(h)
                h = self.narrow[level](h)
        for level in reversed(range(len(self.up))):
            h = self.up[level](h, condition)
            if level:
                h = self.widen[level - 1](h) + kept[level - 1]
        h = self.enlarge(F.silu(self.norm(h))) + self.pixels(x)  # (B, fine, H, W)
        return self.out(F.silu(self.texture(F.silu(h))))  # type: ignore[no-any-return]
