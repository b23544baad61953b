"""Damage that a model learns to undo: the kinds of `restoration`, on scaled images, anew each time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Noise = Literal["none", "gaussian", "salt_pepper", "mask"]
LEVELS: Mapping[str, float] = {
    "none": 0.0,
    "gaussian": 0.5,
    "salt_pepper": 0.2,
    "mask": 0.5,
}  # as measured
LOW, HIGH = -1.0, 1.0  # black and white of scaled images


@dataclass(frozen=True)
class Corruption:
    """A kind of damage; what a network is given of an image so damaged.

    `level` (None: that of `LEVELS`) is the standard deviation of `gaussian` noise as a share of the range, the share of
    values that `salt_pepper` makes black or white, the share of pixels that `mask` takes away (to black). A network
    that fills in missing pixels has a channel more, 1 where a pixel is known.
    """

    noise: Noise
    level: float | None = None

    @property
    def damages(self) -> tuple[str, ...]:
        """What `Restores.damages` is of a model that learnt to undo this."""
        return (self.noise,) if self.noise != "none" else ()

    @property
    def extra(self) -> int:
        """Channels that a network's input has beside the image's."""
        return int(self.noise == "mask")

    def drawn(self, x: Tensor) -> Tensor:
        """Scaled images (B, C, H, W) -> the input (B, C + extra, H, W) of their damaged copies; global generator."""
        level = LEVELS[self.noise] if self.level is None else self.level
        if self.noise == "gaussian":
            return x + level * (HIGH - LOW) * torch.randn_like(x)
        if self.noise == "salt_pepper":
            hit = torch.rand_like(x)
            return torch.where(hit < level / 2, LOW, torch.where(hit < level, HIGH, x))
        return self.given(x, torch.rand_like(x[:, :1]) >= level) if self.noise == "mask" else x

    def given(self, x: Tensor, known: Tensor | None = None) -> Tensor:
        """Scaled images as they are -> the input; `known` (B, 1 or C, H, W) bool tells where pixels are not missing."""
        if not self.extra:
            return x
        if known is None:
            return torch.cat([x, torch.ones_like(x[:, :1])], 1)
        return torch.cat([torch.where(known, x, LOW), known[:, :1].to(x.dtype)], 1)


def kept(answer: Tensor, x: Tensor, known: Tensor | None) -> Tensor:
    """A restoration with the values that are known put back."""
    return answer if known is None else torch.where(known, x.to(answer.dtype), answer)
