"""Wasserstein GAN with gradient penalty (Gulrajani et al. 2017, arXiv:1704.00028, algorithm 1).

The critic has no normalisation: the penalty is of each item's own gradient, which batch normalisation would mix. It
moves at every step, the generator at every `n_critic`-th, so that a step takes one batch of real items whoever moves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from genfoundry.models.families.adversarial import AdversarialConfig, AdversarialModel
from genfoundry.nn.adversarial.losses import LOSSES
from genfoundry.nn.adversarial.networks import Critic, Generator
from genfoundry.nn.adversarial.penalties import gradient_penalty
from genfoundry.nn.conv.dequantisation import dequantise
from genfoundry.types import Batch, Clock, Spec

LOSS = LOSSES["wasserstein"]


class WganGp(AdversarialModel):
    """z (B, latent) -> x (B, C, H, W), trained against a critic whose slope is kept near 1.

    The critic's loss, without the penalty, is minus its estimate of the Wasserstein distance: `critic_gap` is the
    estimate.
    """

    class Config(AdversarialConfig):
        """`width`, `critic_width`: channels at half the resolution, doubled below; `penalty`: the paper's lambda.

        `n_critic`: steps of the critic for each of the generator.
        """

        n_critic: int = Field(5, ge=1)
        penalty: float = Field(10.0, gt=0)

    defaults: ClassVar[Mapping[str, Any]] = {
        "batch": 64,
        "lr": {"critic": 1e-3, "generator": 1e-3},
        "betas": [0.0, 0.9],  # as the paper
        "clip": None,
        "ema": 0.99,
    }
    config: Config
    generator: Generator
    critic: Critic

    @classmethod
    def suggest_settings(cls, spec: Spec, items: int) -> dict[str, Any]:
        width = 32 if items >= 2000 else 16
        hyper = {"latent": 64, "width": width, "critic_width": width}
        return {"hyper": hyper, "search": cls.search_rates(2e-4, 2e-3)}

    def __init__(self, spec: Spec, config: Config) -> None:
        super().__init__(spec, config)
        self.generator = Generator(spec, config.latent, config.width)
        self.critic = Critic(spec, config.critic_width, spectral=False)

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        moves = clock.step % self.config.n_critic == 0
        real = dequantise(batch.x, self.spec.levels)
        with torch.set_grad_enabled(moves):
            fake, statistics = self.generate_fakes(self.prior(len(batch)))  # (B, C, H, W)
        self.set_training("critic")
        yield {"critic": self._critic_loss(real, fake.detach().float())}
        if moves:
            self.open_generator_step(statistics)
            yield {"generator": LOSS.generator(self.critic(fake))}

    def _critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        of_real, of_fake = self.critic(torch.cat([real, fake])).chunk(2)  # one pass over both, (B,) each
        self.diagnose(real, fake, of_real, of_fake)
        return LOSS.critic(of_real, of_fake) + self.config.penalty * gradient_penalty(self.critic, real, fake).mean()
