"""Deep convolutional GAN (Radford et al. 2016, arXiv:1511.06434), of images of any size, with or without classes.

Every layer of the critic has spectral norm 1 (Miyato et al. 2018, arXiv:1802.05957); classes enter by a projection and
by conditional normalisation (Miyato and Koyama 2018, arXiv:1802.05637).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from genfoundry.models.families.adversarial import ConditionalGan, ConditionalGanConfig
from genfoundry.nn.adversarial.losses import LOSSES
from genfoundry.nn.adversarial.networks import Critic, Generator
from genfoundry.nn.adversarial.penalties import squared_gradient_norm
from genfoundry.nn.conv.dequantisation import dequantise
from genfoundry.types import Batch, Clock, Spec

# Steps from one penalty to the next, which weighs as much more (Karras et al. 2020, arXiv:1912.04958, section 2.2)
LAZY = 8
MOST_CLASSES, COLUMNS = 16, 8  # of the sheet of classes


class Dcgan(ConditionalGan):
    """z (B, latent) -> x (B, C, H, W), trained against a critic of x.

    With `classes`, a code as `prior` draws it and `decode` takes it is (z, shares of the classes): a walk blends both.
    """

    class Config(ConditionalGanConfig):
        """`width`, `critic_width`: channels at half the resolution, doubled at each further half.

        `r1`: gamma of the penalty gamma / 2 |grad_x critic(x)|^2 on real images (Mescheder et al. 2018,
        arXiv:1801.04406, eq. 9), every `LAZY` steps. `spectral`: spectral normalisation of the critic.
        """

        loss: Literal["hinge", "non_saturating"] = "hinge"
        r1: float = Field(0.0, ge=0)
        spectral: bool = True

    defaults: ClassVar[Mapping[str, Any]] = {
        "batch": 32,
        "lr": {"critic": 2e-3, "generator": 2e-3},
        "betas": [0.0, 0.9],  # no momentum: the opponent moves
        "clip": None,
        "ema": 0.99,
    }
    config: Config
    generator: Generator
    critic: Critic

    @classmethod
    def suggest_settings(cls, spec: Spec, items: int) -> dict[str, Any]:
        width = 32 if items >= 2000 else 16
        hyper = {"latent": 64, "width": width, "critic_width": width, "classes": any(spec.class_counts)}
        return {"hyper": hyper, "search": cls.search_rates(1e-3, 4e-3)}

    def __init__(self, spec: Spec, config: Config) -> None:
        super().__init__(spec, config)
        classes = spec.classes if self.conditional else 0
        self.generator = Generator(spec, config.latent, config.width, classes)
        self.critic = Critic(spec, config.critic_width, config.spectral, classes)

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        loss, given, n = LOSSES[self.config.loss], self.get_labels(batch), len(batch)
        z = torch.randn(n, self.config.latent, device=self.device)
        chosen = None if given is None else self.choose_classes(n, given)
        fake, statistics = self.generate_fakes(z, chosen)  # (B, C, H, W)
        real = dequantise(batch.x, self.spec.levels)
        self.set_training("critic")
        # One pass of the critic over both, (2B, C, H, W) -> (2B,)
        both = None if given is None else given.repeat(2)
        scores = self.criticise(torch.cat([real, fake.detach().float()]), both).chunk(2)
        self.diagnose(real, fake, *scores)
        yield {"critic": loss.critic(*scores) + self._penalise(real, given, clock)}
        self.open_generator_step(statistics)
        yield {"generator": loss.generator(self.criticise(fake, given))}

    def _penalise(self, real: Tensor, label: Tensor | None, clock: Clock) -> Tensor | float:
        """R1, every `LAZY` steps and as many times its weight."""
        if not self.config.r1 or clock.step % LAZY:
            return 0.0
        real = real.detach().requires_grad_()
        return 0.5 * LAZY * self.config.r1 * squared_gradient_norm(self.criticise(real, label), real).mean()

    def choose_classes(self, n: int, label: Tensor | None = None) -> Tensor:
        """Return the classes (n,) int64 of generated images: as given, and drawn where a real one has no label."""
        drawn = super().choose_classes(n)
        return drawn if label is None else torch.where(label < 0, drawn, label)

    def generate(self, code: Tensor) -> Tensor:
        """Map codes to (B, C, H, W) in [-1, 1]; the classes' part is normalised, since a walk may leave the simplex."""
        z, shares = code.tensor_split([self.config.latent], 1)
        shares = shares.clamp_min(0)
        shares = shares / shares.sum(1, keepdim=True).clamp_min(1e-6)
        image: Tensor = self.generator(z, shares if self.conditional else None)
        return image

    def panels(self, batch: Batch) -> dict[str, Tensor]:
        return super().panels(batch) | ({"classes": self._sample_classes()} if self.conditional else {})

    def _sample_classes(self) -> Tensor:
        """(rows, columns, C, H, W): a row a class."""
        rows = min(self.spec.classes, MOST_CLASSES)
        label = torch.arange(rows, device=self.device).repeat_interleave(COLUMNS)
        return self.sample(len(label), label=label).view(rows, COLUMNS, *self.spec.shape)
