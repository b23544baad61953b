"""R3GAN: relativistic pairing loss with R1 and R2 on plain residual networks (Huang et al. 2024, arXiv:2501.05441).

Losses are its equations 2 to 4: each real item is paired with a generated one, of the same class if there are classes,
and the critic's squared gradient is penalised at both, with weight gamma / 2, at every step, by images before they are
augmented, as in its authors' code. Gamma falls along a cosine to a tenth, as in the paper's appendix D; learning rates
fall by the loop's schedule. There is no normalisation, no minibatch statistic and no progressive growth. The critic
sees real levels dequantised, as `models.dcgan` says.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from genfoundry.models.base import Hyper, Likelihood
from genfoundry.models.families.normal_prior import NormalPriorModel
from genfoundry.nn.adversarial.augmentation import augment
from genfoundry.nn.adversarial.diversity import measure_diversity
from genfoundry.nn.adversarial.losses import relativistic_critic, relativistic_generator
from genfoundry.nn.adversarial.penalties import squared_gradient_norm
from genfoundry.nn.adversarial.residual import ResidualCritic, ResidualGenerator
from genfoundry.nn.conv.dequantisation import dequantise, quantise
from genfoundry.types import Batch, Clock, Draw, Spec

ANNEALED = 0.1  # share of gamma that is left at the end


class R3gan(NormalPriorModel):
    """z (B, latent) -> x (B, C, H, W), trained against a critic of pairs.

    The code of a class-conditional model is (z, the class one-hot).
    """

    class Config(Hyper):
        """`width`, `critic_width`: channels of the finest stage, up to four times as many below; `blocks`: of a stage.

        `group`: channels of a group of the grouped convolutions; `patch`: side of the squares of pixels that the finest
        stage works on; `gamma`: weight of the penalties at the start; `classes`: whether it is class-conditional;
        `augment`: policies of DiffAugment, for small data.
        """

        latent: int = Field(16, ge=1)
        width: int = Field(8, ge=1)
        critic_width: int = Field(8, ge=1)
        blocks: int = Field(1, ge=1)
        group: int = Field(8, ge=1)
        patch: Literal[1, 2, 4] = 1
        gamma: float = Field(0.1, ge=0)
        classes: bool = False
        augment: tuple[Literal["color", "translation", "cutout"], ...] = ()

    likelihood: ClassVar[Likelihood] = "none"
    defaults: ClassVar[Mapping[str, Any]] = {
        "batch": 64,
        "lr": {"critic": 5e-3, "generator": 5e-3},
        "betas": [0.0, 0.99],
        "clip": None,
        "ema": 0.99,
    }
    config: Config
    frequency: Tensor

    @classmethod
    def suggest_settings(cls, spec: Spec, items: int) -> dict[str, Any]:
        patch = 2 if max(spec.shape[1:]) <= 16 else 4  # wide stages at a low resolution learn most a second
        width = 64 if patch == 2 else 32
        hyper = {"latent": 64, "width": width, "critic_width": width, "group": 32, "patch": patch, "gamma": 2.0}
        rate = {"low": 2.5e-3, "high": 1e-2, "log": True}
        search = {"train.lr.critic": rate, "train.lr.generator": rate}
        search |= {"hyper.gamma": {"low": 0.2, "high": 8.0, "log": True}}
        return {"hyper": hyper, "train": {"batch": 32}, "search": search}

    def __init__(self, spec: Spec, config: Config) -> None:
        super().__init__(spec, config)
        shape = {"blocks": config.blocks, "group": config.group, "patch": config.patch}
        classes = spec.classes if self.conditional else 0
        self.generator = ResidualGenerator(spec, config.latent, width=config.width, classes=classes, **shape)
        self.critic = ResidualCritic(spec, width=config.critic_width, classes=classes, **shape)
        self.register_buffer("frequency", torch.tensor(spec.class_shares if classes else ()), persistent=False)

    @property
    def conditional(self) -> bool:
        return self.config.classes and self.spec.classes > 0

    @property
    def passes(self) -> int:
        return 1

    def players(self) -> dict[str, list[torch.nn.Parameter]]:
        return {"critic": list(self.critic.parameters()), "generator": list(self.generator.parameters())}

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        real, label = dequantise(batch.x, self.spec.levels), self._one_hot(batch.label)
        # The generator does not move with the critic, so that one pass serves both players
        fake = self.generator(self._codes(label, len(batch))).float()  # (B, C, H, W)
        yield {"critic": self._critic_loss(real, fake.detach(), label, clock)}
        with torch.no_grad():
            target = self._criticise(real, label)  # (B,)
        yield {"generator": relativistic_generator(target, self._criticise(fake, label))}

    def _criticise(self, x: Tensor, label: Tensor | None) -> Tensor:
        """Augment images (B, C, H, W), each by draws of its own, and score them (B,)."""
        return self.critic(augment(x, self.config.augment), label)  # type: ignore[no-any-return]

    def _critic_loss(self, real: Tensor, fake: Tensor, label: Tensor | None, clock: Clock) -> Tensor:
        both = torch.cat([real, fake]).requires_grad_()  # (2B, C, H, W): one pass, and one gradient, of both
        scores = self._criticise(both, None if label is None else label.repeat(2, 1))
        penalty = squared_gradient_norm(scores, both).mean()  # half of the sum of R1 and R2
        of_real, of_fake = scores.chunk(2)
        self.diagnostics["critic_gap"] = (of_real.mean() - of_fake.mean()).detach()
        self.diagnostics["diversity"] = measure_diversity(real, fake)
        gamma = self.config.gamma * (ANNEALED + (1 - ANNEALED) * 0.5 * (1 + math.cos(math.pi * clock.share)))
        return relativistic_critic(of_real, of_fake) + gamma * penalty

    def _one_hot(self, label: Tensor | None) -> Tensor | None:
        """(B,) classes -> (B, classes), zeros for an unlabelled item; None where the model has no classes."""
        if not self.conditional or label is None:
            return None
        return (label[:, None] == torch.arange(self.spec.classes, device=label.device)).float()

    def _codes(self, label: Tensor | None, n: int) -> Tensor:
        z = super().prior(n)
        return z if label is None else torch.cat([z, label], 1)

    def prior(self, n: int) -> Tensor:
        """Draw (n, latent) codes from N(0, I), and a class with its frequency of training, one-hot, if there is one."""
        label = torch.multinomial(self.frequency, n, replacement=True) if self.conditional else None
        return self._codes(self._one_hot(label), n)

    @torch.no_grad()
    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        one_hot = self._one_hot(label)
        code = self.prior(n) if one_hot is None else self._codes(one_hot, n)
        z, classes = code.tensor_split([self.config.latent], 1)  # (n, latent), (n, classes or 0)
        return self.decode(torch.cat([draw.temperature * z, classes], 1))

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """Map codes (B, latent), or (B, latent + classes), to (B, C, H, W) in the range of `Batch.x`."""
        return quantise(self.generator(z), self.spec.levels).contiguous()
