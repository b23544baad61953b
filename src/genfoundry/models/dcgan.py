"""Deep convolutional GAN (Radford et al. 2016, arXiv:1511.06434), of images of any size, with or without classes.

Every layer of the critic has spectral norm 1 (Miyato et al. 2018, arXiv:1802.05957); classes enter by a projection and
by conditional normalisation (Miyato and Koyama 2018, arXiv:1802.05637); both networks see real and generated images
augmented alike (DiffAugment: Zhao et al. 2020, arXiv:2006.10738), which little data need. The critic sees real levels
dequantised: level k of L is uniform in its bin of [-1, 1], and a generated value becomes the level whose bin it falls
in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor
from torch.func import functional_call

from genfoundry.models.base import Hyper, Likelihood
from genfoundry.models.families.normal_prior import NormalPriorModel
from genfoundry.nn.adversarial.augmentation import augment
from genfoundry.nn.adversarial.diversity import measure_diversity
from genfoundry.nn.adversarial.losses import LOSSES
from genfoundry.nn.adversarial.networks import Critic, Generator
from genfoundry.nn.adversarial.normalisation import calibrate_batch_norm
from genfoundry.nn.adversarial.penalties import squared_gradient_norm
from genfoundry.nn.conv.dequantisation import dequantise, quantise
from genfoundry.seeding import derive_seed
from genfoundry.types import Batch, Clock, Draw, Spec

if TYPE_CHECKING:
    from genfoundry.splits import Split

LAZY = (
    8  # steps from one penalty to the next, which weighs as much more (Karras et al. 2020, arXiv:1912.04958, sec. 2.2)
)
CALIBRATION, ROWS = 64, 128  # batches of draws, and draws in each, that normalise the finished generator
MOST_CLASSES, COLUMNS = 16, 8  # of the sheet of classes


class Dcgan(NormalPriorModel):
    """z (B, latent) -> x (B, C, H, W), trained against a critic of x.

    With `classes`, a code as `prior` draws it and `decode` takes it is (z, shares of the classes): a walk blends both.
    """

    class Config(Hyper):
        """`width`, `critic_width`: channels at half the resolution, doubled at each further half.

        `classes`: whether both networks are given the label. `augment`: policies of DiffAugment ("color",
        "translation", "cutout"). `r1`: gamma of the penalty gamma / 2 |grad_x critic(x)|^2 on real images (Mescheder et
        al. 2018, arXiv:1801.04406, eq. 9), every `LAZY` steps. `spectral`: spectral normalisation of the critic.
        """

        latent: int = Field(16, ge=1)
        width: int = Field(8, ge=1)
        critic_width: int = Field(8, ge=1)
        loss: Literal["hinge", "non_saturating"] = "hinge"
        classes: bool = False
        augment: tuple[Literal["color", "translation", "cutout"], ...] = ()
        r1: float = Field(0.0, ge=0)
        spectral: bool = True

    likelihood: ClassVar[Likelihood] = "none"
    defaults: ClassVar[Mapping[str, Any]] = {
        "batch": 32,
        "lr": {"critic": 2e-3, "generator": 2e-3},
        "betas": [0.0, 0.9],  # no momentum: the opponent moves
        "clip": None,
        "ema": 0.99,
    }
    config: Config
    frequency: Tensor

    @classmethod
    def suggest_settings(cls, spec: Spec, items: int) -> dict[str, Any]:
        width = 32 if items >= 2000 else 16
        rate = {"low": 1e-3, "high": 4e-3, "log": True}
        search = {"train.lr.critic": rate, "train.lr.generator": rate}
        hyper = {"latent": 64, "width": width, "critic_width": width, "classes": any(spec.class_counts)}
        return {"hyper": hyper, "search": search}

    def __init__(self, spec: Spec, config: Config) -> None:
        super().__init__(spec, config)
        classes = spec.classes if self.conditional else 0
        self.generator = Generator(spec, config.latent, config.width, classes)
        self.critic = Critic(spec, config.critic_width, config.spectral, classes)
        self.register_buffer("frequency", torch.tensor(spec.class_shares), persistent=False)

    @property
    def conditional(self) -> bool:
        return self.config.classes and self.spec.classes > 0

    @property
    def passes(self) -> int:
        return 1

    def players(self) -> dict[str, list[torch.nn.Parameter]]:
        return {"critic": list(self.critic.parameters()), "generator": list(self.generator.parameters())}

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        loss, given, n = LOSSES[self.config.loss], self._get_labels(batch), len(batch)
        fake, statistics = self._generate_fakes(n, given)  # (B, C, H, W)
        real = dequantise(batch.x, self.spec.levels)
        self._diagnose(real, fake)
        self.set_training("critic")
        # One pass of the critic over both, (2B, C, H, W) -> (2B,)
        both = None if given is None else given.repeat(2)
        scores = self._criticise(torch.cat([real, fake.detach().float()]), both).chunk(2)
        self.diagnostics["critic_gap"] = (scores[0].mean() - scores[1].mean()).detach()
        yield {"critic": loss.critic(*scores) + self._penalise(real, given, clock)}
        self.set_training("generator")
        for name, buffer in self.generator.named_buffers():
            buffer.copy_(statistics[name])
        yield {"generator": loss.generator(self._criticise(fake, given))}

    def _generate_fakes(self, n: int, given: Tensor | None) -> tuple[Tensor, dict[str, Tensor]]:
        """Return (n, C, H, W) in [-1, 1], normalised by batch statistics, and the running statistics after them.

        One pass serves the steps of both players. The generator's own buffers do not move before its step.
        """
        self.set_training("generator")
        buffers = {name: buffer.clone() for name, buffer in self.generator.named_buffers()}
        arguments = (torch.randn(n, self.config.latent, device=self.device), self._fill_labels(given))
        return functional_call(self.generator, buffers, arguments), buffers

    def _get_labels(self, batch: Batch) -> Tensor | None:
        """(B,) labels as the critic sees them, -1 for unlabelled; None for a model without classes."""
        if not self.conditional:
            return None
        return torch.full((len(batch),), -1, device=self.device) if batch.label is None else batch.label

    def _fill_labels(self, label: Tensor | None) -> Tensor | None:
        """(B,) classes of generated images: drawn where a real one has no label."""
        return None if label is None else torch.where(label < 0, self._draw_classes(len(label)), label)

    def _draw_classes(self, n: int) -> Tensor:
        """(n,) int64, with the frequencies of training."""
        return torch.multinomial(self.frequency, n, replacement=True)

    def _criticise(self, x: Tensor, label: Tensor | None) -> Tensor:
        """Augment images in [-1, 1] (B, C, H, W), and score them (B,)."""
        return self.critic(augment(x, self.config.augment), label)  # type: ignore[no-any-return]

    def _penalise(self, real: Tensor, label: Tensor | None, clock: Clock) -> Tensor | float:
        """R1, every `LAZY` steps and as many times its weight."""
        if not self.config.r1 or clock.step % LAZY:
            return 0.0
        real = real.detach().requires_grad_()
        return 0.5 * LAZY * self.config.r1 * squared_gradient_norm(self._criticise(real, label), real).mean()

    def _diagnose(self, real: Tensor, fake: Tensor) -> None:
        self.diagnostics["diversity"] = measure_diversity(real, fake)

    @torch.no_grad()
    def end(self, phase: str, data: Split) -> None:
        """Estimate the normalisation's statistics over draws: those of an average of weights were never measured."""
        torch.manual_seed(derive_seed("calibrate"))
        calibrate_batch_norm(self.generator, lambda: self.generate(self.prior(ROWS)), CALIBRATION)

    def prior(self, n: int) -> Tensor:
        """Draw (n, latent) codes from N(0, I); with classes (n, latent + classes), one-hot with their frequencies."""
        return self._join_code(super().prior(n), self._draw_classes(n) if self.conditional else None)

    def _join_code(self, z: Tensor, label: Tensor | None) -> Tensor:
        return z if label is None else torch.cat([z, F.one_hot(label, self.spec.classes).to(z)], 1)

    def generate(self, code: Tensor) -> Tensor:
        """Map codes to (B, C, H, W) in [-1, 1]; the classes' part is normalised, since a walk may leave the simplex."""
        z, shares = code.tensor_split([self.config.latent], 1)
        shares = shares.clamp_min(0)
        shares = shares / shares.sum(1, keepdim=True).clamp_min(1e-6)
        image: Tensor = self.generator(z, shares if self.conditional else None)
        return image

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """Map codes, as `prior` draws them, to (B, C, H, W) in the range of `Batch.x`."""
        return quantise(self.generate(z), self.spec.levels).contiguous()

    @torch.no_grad()
    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        z, classes = self.prior(n).tensor_split([self.config.latent], 1)
        if label is not None and self.conditional:
            classes = F.one_hot(label, self.spec.classes).to(z)
        return self.decode(torch.cat([draw.temperature * z, classes], 1))

    def panels(self, batch: Batch) -> dict[str, Tensor]:
        return super().panels(batch) | ({"classes": self._sample_classes()} if self.conditional else {})

    def _sample_classes(self) -> Tensor:
        """(rows, columns, C, H, W): a row a class."""
        rows = min(self.spec.classes, MOST_CLASSES)
        label = torch.arange(rows, device=self.device).repeat_interleave(COLUMNS)
        return self.sample(len(label), label=label).view(rows, COLUMNS, *self.spec.shape)
