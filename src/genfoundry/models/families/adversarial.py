"""Generators of images that are trained against a critic: what models of them share beside their losses.

The critic sees real levels dequantised: level k of L is uniform in its bin of [-1, 1], and a generated value becomes
the level whose bin it falls in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call

from genfoundry.models.base import Hyper, Likelihood
from genfoundry.models.families.normal_prior import NormalPriorModel
from genfoundry.nn.adversarial.augmentation import augment
from genfoundry.nn.adversarial.diversity import measure_diversity
from genfoundry.nn.adversarial.normalisation import calibrate_batch_norm
from genfoundry.nn.conv.dequantisation import quantise
from genfoundry.seeding import derive_seed
from genfoundry.types import Batch, Draw, Spec

if TYPE_CHECKING:
    from genfoundry.splits import Split

ROWS = 128  # codes of a batch that normalises the finished generator


class AdversarialConfig(Hyper):
    """Hyperparameters. `width`, `critic_width`: channels of the finest stage of the generator and of the critic."""

    latent: int = Field(16, ge=1)
    width: int = Field(8, ge=1)
    critic_width: int = Field(8, ge=1)


class AdversarialModel(NormalPriorModel):
    """z (B, latent) -> x (B, C, H, W), trained against a critic of x.

    A subclass defines a network of each player's name in `defaults["lr"]`, and `losses`.
    """

    Config: ClassVar[type[Hyper]] = AdversarialConfig
    likelihood: ClassVar[Likelihood] = "none"
    calibration: ClassVar[int] = 64  # batches that normalise the finished generator
    generator: nn.Module
    critic: nn.Module

    @classmethod
    def search_rates(cls, low: float, high: float) -> dict[str, Any]:
        """Return the `search` of every player's learning rate, on a logarithmic scale."""
        return {f"train.lr.{player}": {"low": low, "high": high, "log": True} for player in cls.defaults["lr"]}

    @property
    def passes(self) -> int:
        return 1

    def players(self) -> dict[str, list[nn.Parameter]]:
        return {name: list(self.get_submodule(name).parameters()) for name in self.defaults["lr"]}

    def generate(self, code: Tensor) -> Tensor:
        """Map codes, as `prior` draws them, to (B, C, H, W) in [-1, 1], or to real values if there are no levels."""
        return self.generator(code)  # type: ignore[no-any-return]

    def generate_fakes(self, *inputs: Tensor | None) -> tuple[Tensor, dict[str, Tensor]]:
        """Run the generator; return (n, C, H, W), normalised by batch statistics, and the running statistics after it.

        One pass serves the steps of both players: the generator's own buffers do not move before
        `open_generator_step`.
        """
        self.set_training("generator")
        buffers = {name: buffer.clone() for name, buffer in self.generator.named_buffers()}
        return functional_call(self.generator, buffers, inputs), buffers

    def open_generator_step(self, statistics: dict[str, Tensor]) -> None:
        """Put the generator alone in train mode, with the running statistics that `generate_fakes` returned."""
        self.set_training("generator")
        for name, buffer in self.generator.named_buffers():
            buffer.copy_(statistics[name])

    @torch.no_grad()
    def diagnose(self, real: Tensor, fake: Tensor, real_scores: Tensor, fake_scores: Tensor) -> None:
        """Write the `diagnostics` of a step: images are (B, C, H, W), their scores (B,)."""
        self.diagnostics["critic_gap"] = real_scores.mean() - fake_scores.mean()
        self.diagnostics["diversity"] = measure_diversity(real, fake)

    @torch.no_grad()
    def end(self, phase: str, data: Split) -> None:
        """Estimate the normalisation's statistics over draws: those of an average of weights were never measured."""
        torch.manual_seed(derive_seed("calibrate"))
        calibrate_batch_norm(self.generator, lambda: self.generate(self.draw_codes(data)), self.calibration)

    def draw_codes(self, data: Split) -> Tensor:
        """Draw a batch of codes as the generator meets them in training: from the prior."""
        return self.prior(ROWS)

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """Map codes, as `prior` draws them, to (B, C, H, W) in the range of `Batch.x`."""
        return quantise(self.generate(z), self.spec.levels).contiguous()

    @torch.no_grad()
    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        return quantise(self.generate(draw.temperature * self.prior(n)), self.spec.levels).contiguous()


class ConditionalGanConfig(AdversarialConfig):
    """Hyperparameters. `classes`: whether both networks are given the label; `augment`: policies of DiffAugment."""

    classes: bool = False
    augment: tuple[Literal["color", "translation", "cutout"], ...] = ()


class ConditionalGan(AdversarialModel):
    """(z, class) -> x (B, C, H, W), if `config.classes`; the code of `prior` and `decode` is z and the class one-hot.

    Both networks see real and generated images augmented alike (DiffAugment: Zhao et al. 2020, arXiv:2006.10738), which
    little data need.
    """

    Config: ClassVar[type[Hyper]] = ConditionalGanConfig
    frequency: Tensor

    def __init__(self, spec: Spec, config: Hyper) -> None:
        super().__init__(spec, config)
        self.register_buffer("frequency", torch.tensor(spec.class_shares), persistent=False)  # (classes,)

    def criticise(self, x: Tensor, label: Tensor | None) -> Tensor:
        """Augment images (B, C, H, W) in [-1, 1], each by draws of its own, and score them (B,)."""
        return self.critic(augment(x, self.config.augment), label)  # type: ignore[no-any-return]

    def get_labels(self, batch: Batch) -> Tensor | None:
        """Return (B,) classes, -1 for unlabelled; None for a model without classes."""
        if not self.conditional:
            return None
        return torch.full((len(batch),), -1, device=self.device) if batch.label is None else batch.label

    def choose_classes(self, n: int, label: Tensor | None = None) -> Tensor:
        """Return the classes (n,) int64 of generated images: drawn with the frequencies of training, unless given."""
        return torch.multinomial(self.frequency, n, replacement=True) if label is None else label

    def encode_classes(self, label: Tensor) -> Tensor:
        """(B,) classes -> (B, classes) one-hot, zeros for -1."""
        return (label[:, None] == torch.arange(self.spec.classes, device=label.device)).float()

    def prior(self, n: int, label: Tensor | None = None) -> Tensor:
        """Draw codes: (n, latent) from N(0, I); of a class-conditional model (n, latent + classes), with the classes.

        Args:
            n: number of codes.
            label: (n,) classes, or None for `choose_classes`.
        """
        z = super().prior(n)
        return torch.cat([z, self.encode_classes(self.choose_classes(n, label))], 1) if self.conditional else z

    @torch.no_grad()
    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        z, classes = self.prior(n, label).tensor_split([self.config.latent], 1)  # (n, latent), (n, classes or 0)
        return self.decode(torch.cat([draw.temperature * z, classes], 1))
