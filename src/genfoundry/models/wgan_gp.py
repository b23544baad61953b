"""Wasserstein GAN with gradient penalty (Gulrajani et al. 2017, arXiv:1704.00028, algorithm 1).

The critic has no normalisation: the penalty is of each item's own gradient, which batch normalisation would mix. It
moves at every step, the generator at every `n_critic`-th, so that a step takes one batch of real items whoever moves.
The critic sees real levels dequantised, as `models.dcgan` says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.func import functional_call

from genfoundry.models.base import Hyper, Likelihood
from genfoundry.models.families.normal_prior import NormalPriorModel
from genfoundry.nn.adversarial.diversity import measure_diversity
from genfoundry.nn.adversarial.losses import LOSSES
from genfoundry.nn.adversarial.networks import Critic, Generator
from genfoundry.nn.adversarial.normalisation import calibrate_batch_norm
from genfoundry.nn.adversarial.penalties import gradient_penalty
from genfoundry.nn.conv.dequantisation import dequantise, quantise
from genfoundry.seeding import derive_seed
from genfoundry.types import Batch, Clock, Draw, Spec

if TYPE_CHECKING:
    from genfoundry.splits import Split

LOSS = LOSSES["wasserstein"]
CALIBRATION, ROWS = 64, 128  # batches of draws, and draws in each, that normalise the finished generator


class WganGp(NormalPriorModel):
    """z (B, latent) -> x (B, C, H, W), trained against a critic whose slope is kept near 1.

    The critic's loss, without the penalty, is minus its estimate of the Wasserstein distance: `critic_gap` is the
    estimate.
    """

    class Config(Hyper):
        """`width`, `critic_width`: channels at half the resolution, doubled below; `penalty`: the paper's lambda.

        `n_critic`: steps of the critic for each of the generator.
        """

        latent: int = Field(16, ge=1)
        width: int = Field(8, ge=1)
        critic_width: int = Field(8, ge=1)
        n_critic: int = Field(5, ge=1)
        penalty: float = Field(10.0, gt=0)

    likelihood: ClassVar[Likelihood] = "none"
    defaults: ClassVar[Mapping[str, Any]] = {
        "batch": 64,
        "lr": {"critic": 1e-3, "generator": 1e-3},
        "betas": [0.0, 0.9],  # as the paper
        "clip": None,
        "ema": 0.99,
    }
    config: Config

    @classmethod
    def suggest_settings(cls, spec: Spec, items: int) -> dict[str, Any]:
        width = 32 if items >= 2000 else 16
        rate = {"low": 2e-4, "high": 2e-3, "log": True}
        search = {"train.lr.critic": rate, "train.lr.generator": rate}
        return {"hyper": {"latent": 64, "width": width, "critic_width": width}, "search": search}

    def __init__(self, spec: Spec, config: Config) -> None:
        super().__init__(spec, config)
        self.generator = Generator(spec, config.latent, config.width)
        self.critic = Critic(spec, config.critic_width, spectral=False)

    @property
    def passes(self) -> int:
        return 1

    def players(self) -> dict[str, list[torch.nn.Parameter]]:
        return {"critic": list(self.critic.parameters()), "generator": list(self.generator.parameters())}

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        moves = clock.step % self.config.n_critic == 0
        real = dequantise(batch.x, self.spec.levels)
        with torch.set_grad_enabled(moves):
            fake, statistics = self._generate_fakes(len(batch))  # (B, C, H, W)
        self.set_training("critic")
        yield {"critic": self._critic_loss(real, fake.detach().float())}
        if moves:
            self.set_training("generator")
            for name, buffer in self.generator.named_buffers():
                buffer.copy_(statistics[name])
            yield {"generator": LOSS.generator(self.critic(fake))}

    def _critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        of_real, of_fake = self.critic(torch.cat([real, fake])).chunk(2)  # one pass over both, (B,) each
        loss = LOSS.critic(of_real, of_fake)
        self.diagnostics["critic_gap"] = -loss.detach()
        self.diagnostics["diversity"] = measure_diversity(real, fake)
        return loss + self.config.penalty * gradient_penalty(self.critic, real, fake).mean()

    def _generate_fakes(self, n: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Return (n, C, H, W) in [-1, 1], normalised by batch statistics, and the running statistics after them.

        The generator's own buffers do not move before its step.
        """
        self.set_training("generator")
        buffers = {name: buffer.clone() for name, buffer in self.generator.named_buffers()}
        return functional_call(self.generator, buffers, (self.prior(n),)), buffers

    @torch.no_grad()
    def end(self, phase: str, data: Split) -> None:
        """Estimate the normalisation's statistics over draws: those of an average of weights were never measured."""
        torch.manual_seed(derive_seed("calibrate"))
        calibrate_batch_norm(self.generator, lambda: self.generator(self.prior(ROWS)), CALIBRATION)

    @torch.no_grad()
    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        return self.decode(draw.temperature * self.prior(n))

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """Map (B, latent) to (B, C, H, W) in the range of `Batch.x`."""
        return quantise(self.generator(z), self.spec.levels).contiguous()
