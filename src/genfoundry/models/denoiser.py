"""Supervised denoiser, after DnCNN (Zhang et al. 2017, arXiv:1608.03981): the reference for VAEs that restore images.

A residual convolutional network at half and at a quarter of the resolution (FFDNet, arXiv:1710.04026, works at half),
without a bottleneck. Squared error makes it learn the mean of the clean image given the damaged one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from genfoundry.models.base import Hyper, Learner
from genfoundry.nn.conv.blocks import Upsample, downsample, halve_size, residual_blocks, scale_levels
from genfoundry.nn.conv.corruption import Corruption, Noise, paste_known
from genfoundry.types import Batch, Clock, Spec


class Denoiser(Learner):
    """Damaged x (B, C, H, W) -> clean x (B, C, H, W)."""

    class Config(Hyper):
        """`blocks` at each of the two resolutions. `noise` and `level`: the damage to undo (`Corruption`)."""

        width: int = Field(8, ge=1)
        blocks: int = Field(1, ge=0)
        noise: Noise = "gaussian"
        level: float | None = Field(None, gt=0)

    defaults: ClassVar[Mapping[str, Any]] = {"batch": 64, "lr": {"model": 2e-3}, "betas": [0.9, 0.99]}
    config: Config

    @classmethod
    def suggest_settings(cls, spec: Spec, items: int) -> dict[str, Any]:
        hyper = {"width": 32, "blocks": 2}
        return {"hyper": hyper, "search": {"train.lr.model": {"low": 1e-3, "high": 4e-3, "log": True}}}

    def __init__(self, spec: Spec, config: Config) -> None:
        super().__init__(spec, config)
        channels, full, w = spec.shape[0], (spec.shape[1], spec.shape[2]), config.width
        self.corruption = Corruption(config.noise, config.level)
        self.damages = self.corruption.damages
        self.first = nn.Conv2d(channels + self.corruption.extra, w, 5, stride=2, padding=2)
        self.low = nn.Sequential(
            downsample(w, 2 * w),  # (B, 2 width, H / 4, W / 4)
            residual_blocks(2 * w, config.blocks),
            nn.SiLU(),
            Upsample(2 * w, w, size=halve_size(full)),  # (B, width, H / 2, W / 2)
        )
        self.last = nn.Sequential(residual_blocks(w, config.blocks), nn.SiLU(), Upsample(w, channels, size=full))

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        clean = scale_levels(batch.x, self.spec)
        yield {"model": F.mse_loss(self(self.corruption.corrupt(clean)).float(), clean)}  # float32, also under autocast

    def forward(self, x: Tensor) -> Tensor:
        """Map the input of `Corruption` (B, C + extra, H, W) to scaled clean images (B, C, H, W)."""
        half = self.first(x)  # (B, width, H / 2, W / 2)
        return self.last(half + self.low(F.silu(half)))  # type: ignore[no-any-return]

    @torch.no_grad()
    def restore(self, x: Tensor, known: Tensor | None = None) -> Tensor:
        """Map damaged levels (B, C, H, W) to expected levels of the clean image, float32."""
        out = self(self.corruption.to_input(scale_levels(x, self.spec), known)).float()  # (B, C, H, W) in [-1, 1]
        if self.spec.levels is not None:
            out = (out + 1) * ((self.spec.levels - 1) / 2)  # inverts `scale_levels`
        return paste_known(out, x, known)
