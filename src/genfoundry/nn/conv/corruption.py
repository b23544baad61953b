"""Image corruption that a model learns to undo (denoising, inpainting), drawn anew for every batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Noise = Literal["none", "gaussian", "salt_pepper", "mask"]
LEVELS: Mapping[str, float] = {"none": 0.0, "gaussian": 0.5, "salt_pepper": 0.2, "mask": 0.5}  # those of evaluation
LOW, HIGH = -1.0, 1.0  # black and white of scaled images


@dataclass(frozen=True)
class Corruption:
    """A kind of damage, and what a network reads of a damaged image.

    Args:
        noise: the kind.
        level: None for that of `LEVELS`. The standard deviation of "gaussian" noise as a share of the range; the share
            of values that "salt_pepper" makes black or white; the share of pixels that "mask" removes (to black). With
            "mask" the network has one input channel more, 1 where a pixel is known.
    """

    noise: Noise
    level: float | None = None

    @property
    def damages(self) -> tuple[str, ...]:
        """`Restores.damages` of a model that learns to undo this."""
        return (self.noise,) if self.noise != "none" else ()

    @property
    def extra(self) -> int:
        """Number of input channels beside the image's."""
        return int(self.noise == "mask")

    def corrupt(self, x: Tensor) -> Tensor:
        """Damage scaled images (B, C, H, W) with the global generator; returns the input (B, C + extra, H, W)."""
        level = LEVELS[self.noise] if self.level is None else self.level
        if self.noise == "gaussian":
            return x + level * (HIGH - LOW) * torch.randn_like(x)
        if self.noise == "salt_pepper":
            u = torch.rand_like(x)  # black below level / 2, white below level
            return torch.where(u < level / 2, LOW, torch.where(u < level, HIGH, x))
        # A pixel's channels are removed together
        return self.to_input(x, torch.rand_like(x[:, :1]) >= level) if self.noise == "mask" else x

    def to_input(self, x: Tensor, known: Tensor | None = None) -> Tensor:
        """Return the input for scaled images as they are; `known` (B, 1 or C, H, W) is false at missing pixels."""
        if not self.extra:
            return x
        if known is None:
            return torch.cat([x, torch.ones_like(x[:, :1])], 1)  # all known
        return torch.cat([torch.where(known, x, LOW), known[:, :1].to(x.dtype)], 1)  # (B, C + 1, H, W)


def paste_known(restored: Tensor, x: Tensor, known: Tensor | None) -> Tensor:
    """Put the known values of x back into a restoration."""
    return restored if known is None else torch.where(known, x.to(restored.dtype), restored)
