"""R3GAN: relativistic pairing loss with R1 and R2 on plain residual networks (Huang et al. 2024, arXiv:2501.05441).

Losses are its equations 2 to 4: each real item is paired with a generated one, of the same class if there are classes,
and the critic's squared gradient is penalised at both, with weight gamma / 2, at every step, by images before they are
augmented, as in its authors' code. Gamma falls along a cosine to a tenth, as in the paper's appendix D; learning rates
fall by the loop's schedule. There is no normalisation, no minibatch statistic and no progressive growth.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from genfoundry.models.families.adversarial import ConditionalGan, ConditionalGanConfig
from genfoundry.nn.adversarial.losses import relativistic_critic, relativistic_generator
from genfoundry.nn.adversarial.penalties import squared_gradient_norm
from genfoundry.nn.adversarial.residual import ResidualCritic, ResidualGenerator
from genfoundry.nn.conv.dequantisation import dequantise
from genfoundry.types import Batch, Clock, Spec

ANNEALED = 0.1  # share of gamma that is left at the end


class R3gan(ConditionalGan):
    """z (B, latent) -> x (B, C, H, W), trained against a critic of pairs."""

    class Config(ConditionalGanConfig):
        """`width`, `critic_width`: channels of the finest stage, up to four times as many below; `blocks`: of a stage.

        `group`: channels of a group of the grouped convolutions; `patch`: side of the squares of pixels that the finest
        stage works on; `gamma`: weight of the penalties at the start.
        """

        blocks: int = Field(1, ge=1)
        group: int = Field(8, ge=1)
        patch: Literal[1, 2, 4] = 1
        gamma: float = Field(0.1, ge=0)

    defaults: ClassVar[Mapping[str, Any]] = {
        "batch": 64,
        "lr": {"critic": 5e-3, "generator": 5e-3},
        "betas": [0.0, 0.99],
        "clip": None,
        "ema": 0.99,
    }
    config: Config

    @classmethod
    def suggest_settings(cls, spec: Spec, items: int) -> dict[str, Any]:
        patch = 2 if max(spec.shape[1:]) <= 16 else 4  # wide stages at a low resolution learn most a second
        width = 64 if patch == 2 else 32
        hyper = {"latent": 64, "width": width, "critic_width": width, "group": 32, "patch": patch, "gamma": 2.0}
        search = cls.search_rates(2.5e-3, 1e-2) | {"hyper.gamma": {"low": 0.2, "high": 8.0, "log": True}}
        return {"hyper": hyper, "train": {"batch": 32}, "search": search}

    def __init__(self, spec: Spec, config: Config) -> None:
        super().__init__(spec, config)
        shape = {"blocks": config.blocks, "group": config.group, "patch": config.patch}
        classes = spec.classes if self.conditional else 0
        self.generator = ResidualGenerator(spec, config.latent, width=config.width, classes=classes, **shape)
        self.critic = ResidualCritic(spec, width=config.critic_width, classes=classes, **shape)

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        real, classes = dequantise(batch.x, self.spec.levels), self.get_labels(batch)
        label = None if classes is None else self.encode_classes(classes)  # (B, classes)
        # The generator does not move with the critic, so that one pass serves both players
        fake = self.generator(self.prior(len(batch), classes)).float()  # (B, C, H, W)
        yield {"critic": self._critic_loss(real, fake.detach(), label, clock)}
        with torch.no_grad():
            target = self.criticise(real, label)  # (B,)
        yield {"generator": relativistic_generator(target, self.criticise(fake, label))}

    def _critic_loss(self, real: Tensor, fake: Tensor, label: Tensor | None, clock: Clock) -> Tensor:
        both = torch.cat([real, fake]).requires_grad_()  # (2B, C, H, W): one pass, and one gradient, of both
        scores = self.criticise(both, None if label is None else label.repeat(2, 1))
        penalty = squared_gradient_norm(scores, both).mean()  # half of the sum of R1 and R2
        of_real, of_fake = scores.chunk(2)
        self.diagnose(real, fake, of_real, of_fake)
        gamma = self.config.gamma * (ANNEALED + (1 - ANNEALED) * 0.5 * (1 + math.cos(math.pi * clock.share)))
        return relativistic_critic(of_real, of_fake) + gamma * penalty

    def prior(self, n: int, label: Tensor | None = None) -> Tensor:
        """Draw codes as `ConditionalGan.prior` does, the classes before z: a seed's draws are in that order."""
        return super().prior(n, self.choose_classes(n, label) if self.conditional else None)
