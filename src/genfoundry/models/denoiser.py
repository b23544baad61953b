"""A plain supervised denoiser, after DnCNN (Zhang et al. 2017, arXiv:1608.03981): what a restoring VAE is held against.

A residual convolutional network, at half and at a quarter of the resolution (as FFDNet, arXiv:1710.04026, works at
half), without a bottleneck. Squared error makes it learn the clean image's mean given the damaged one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from genfoundry.models.base import Hyper, Learner
from genfoundry.nn.conv.blocks import Up, down, halved, scaled
from genfoundry.nn.conv.corruption import Corruption, Noise, kept
from genfoundry.nn.conv.encoder_decoder import residuals
from genfoundry.types import Batch, Clock, Spec


class Denoiser(Learner):
    """Damaged x (B, C, H, W) -> (B, width, H / 2, W / 2), to a quarter and back beside it -> x (B, C, H, W)."""

    class Config(Hyper):
        """`blocks` at each of the two resolutions. `noise` and `level`: the damage to undo (`Corruption`)."""

        width: int = Field(8, ge=1)
        blocks: int = Field(1, ge=0)
        noise: Noise = "gaussian"
        level: float | None = Field(None, gt=0)

    modalities: ClassVar[tuple[str, ...]] = ("images",)
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
        self.first = nn.Conv2d(channels + self.corruption.extra, w, 5, stride=2, padding=2)
        self.low = nn.Sequential(
            down(w, 2 * w), residuals(2 * w, config.blocks), nn.SiLU(), Up(2 * w, w, size=halved(full))
        )
        self.last = nn.Sequential(residuals(w, config.blocks), nn.SiLU(), Up(w, channels, size=full))

    @property
    def damages(self) -> tuple[str, ...]:
        return self.corruption.damages

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        clean = scaled(batch.x, self.spec)
        yield {"model": F.mse_loss(self(self.corruption.drawn(clean)).float(), clean)}

    def forward(self, given: Tensor) -> Tensor:
        """What `Corruption` gives (B, C + extra, H, W) -> scaled clean images (B, C, H, W)."""
        half = self.first(given)
        return self.last(half + self.low(F.silu(half)))  # type: ignore[no-any-return]

    @torch.no_grad()
    def restore(self, x: Tensor, known: Tensor | None = None) -> Tensor:
        """(B, C, H, W) damaged levels -> float32 expected levels of the clean image."""
        out = self(self.corruption.given(scaled(x, self.spec), known)).float()
        if self.spec.levels is not None:
            out = (out + 1) * ((self.spec.levels - 1) / 2)
        return kept(out, x, known)
