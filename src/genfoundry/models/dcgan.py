"""Deep convolutional GAN (Radford et al. 2016, arXiv:1511.06434) with spectral normalisation and the hinge loss.

Miyato et al. 2018 (arXiv:1802.05957): every layer of the critic has spectral norm 1; losses are their equations 16 and
17. The critic sees real levels dequantised: level k of L is uniform in its bin of [-1, 1], and a generated value
becomes the level whose bin it falls in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils.parametrizations import spectral_norm

from genfoundry.models.base import Hyper, Likelihood
from genfoundry.models.families.normal_prior import NormalPriorModel
from genfoundry.nn.conv.blocks import Crop, halve_size
from genfoundry.nn.conv.dequantisation import dequantise, quantise
from genfoundry.types import Batch, Clock, Draw, Spec


class Dcgan(NormalPriorModel):
    """z (B, latent) -> x (B, C, H, W), trained against a critic of x."""

    class Config(Hyper):
        """`width`, `critic_width`: channels at half the resolution, doubled at a quarter."""

        latent: int = Field(16, ge=1)
        width: int = Field(8, ge=1)
        critic_width: int = Field(8, ge=1)

    likelihood: ClassVar[Likelihood] = "none"
    defaults: ClassVar[Mapping[str, Any]] = {
        "batch": 32,
        "lr": {"critic": 2e-3, "generator": 2e-3},
        "betas": [0.0, 0.9],  # no momentum: the opponent moves
        "clip": None,
        "ema": 0.99,
    }
    config: Config

    @classmethod
    def suggest_settings(cls, spec: Spec, items: int) -> dict[str, Any]:
        width = 32 if items >= 2000 else 16
        rate = {"low": 1e-3, "high": 4e-3, "log": True}
        search = {"train.lr.critic": rate, "train.lr.generator": rate}
        return {"hyper": {"latent": 64, "width": width, "critic_width": width}, "search": search}

    def __init__(self, spec: Spec, config: Config) -> None:
        super().__init__(spec, config)
        self.generator = build_generator(spec, config.latent, config.width)
        self.critic = build_critic(spec, config.critic_width)

    def players(self) -> dict[str, list[nn.Parameter]]:
        return {"critic": list(self.critic.parameters()), "generator": list(self.generator.parameters())}

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        fake = self._generate_fakes(len(batch))  # (B, C, H, W)
        self.set_training("critic")
        # One pass of the critic over both: (2B, C, H, W) -> (2B, 1)
        real, fake = self.critic(torch.cat([dequantise(batch.x, self.spec.levels), fake.float()])).float().chunk(2)
        yield {"critic": F.relu(1 - real).mean() + F.relu(1 + fake).mean()}  # eq. 16
        self.set_training("generator")
        yield {"generator": -self.critic(self.generator(self.prior(len(batch)))).float().mean()}  # eq. 17

    @torch.no_grad()
    def _generate_fakes(self, n: int) -> Tensor:
        """(n, C, H, W) in [-1, 1], normalised by batch statistics, as in the generator's own step.

        A copy of the buffers is updated, so that the running statistics stay as they are.
        """
        self.set_training("generator")
        buffers = {name: buffer.clone() for name, buffer in self.generator.named_buffers()}
        return functional_call(self.generator, buffers, (self.prior(n),))  # type: ignore[no-any-return]

    @torch.no_grad()
    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        return self.decode(draw.temperature * self.prior(n))

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """Map (B, latent) to (B, C, H, W) in the range of `Batch.x`."""
        return quantise(self.generator(z), self.spec.levels).contiguous()


def build_generator(spec: Spec, latent: int, width: int) -> nn.Sequential:
    """Return z (B, latent) -> a quarter of the resolution -> half -> full, with batch normalisation."""
    full = (spec.shape[1], spec.shape[2])
    half, quarter = halve_size(full), halve_size(full, 2)
    return nn.Sequential(
        nn.Linear(latent, 2 * width * quarter[0] * quarter[1], bias=False),
        nn.Unflatten(1, (2 * width, *quarter)),  # (B, 2 width, H / 4, W / 4)
        nn.BatchNorm2d(2 * width),
        nn.ReLU(),
        nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1, bias=False),
        Crop(half),  # (B, width, H / 2, W / 2)
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.ConvTranspose2d(width, spec.shape[0], 4, stride=2, padding=1),
        Crop(full),  # (B, C, H, W)
        nn.Identity() if spec.levels is None else nn.Tanh(),  # real values have no range
    )


def build_critic(spec: Spec, width: int) -> nn.Sequential:
    """Return x -> half the resolution -> a quarter -> an eighth -> a score; every layer has spectral norm 1."""
    cells = halve_size((spec.shape[1], spec.shape[2]), 3)
    layers: list[nn.Module] = []
    for inputs, outputs in ((spec.shape[0], width), (width, 2 * width), (2 * width, 4 * width)):
        layers += [spectral_norm(nn.Conv2d(inputs, outputs, 3, stride=2, padding=1)), nn.LeakyReLU(0.1)]
    return nn.Sequential(*layers, nn.Flatten(), spectral_norm(nn.Linear(4 * width * cells[0] * cells[1], 1)))
