"""Vector-quantised autoencoders with autoregressive priors over their codes: the configuration and training phases.

Phase `codes` trains the autoencoder. Phase `prior` leaves it as it is and trains p(codes | class).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from genfoundry.models.base import GenerativeModel, Hyper, Likelihood
from genfoundry.nn.conv.blocks import scale_levels
from genfoundry.nn.latent.vector_quantizer import Rule, VectorQuantizer

if TYPE_CHECKING:
    from genfoundry.splits import Split

FIRST = 64  # images whose encodings initialise a codebook


class VqConfig(Hyper):
    """Hyperparameters. `dimension`: length of a code; `codebook`: codes move as averages of encodings, or by a loss."""

    codes: int = Field(16, ge=2)
    dimension: int = Field(4, ge=1)
    width: int = Field(8, ge=1)
    blocks: int = Field(1, ge=0)
    mixtures: int = Field(3, ge=1)
    codebook: Rule = "ema"
    commitment: float = Field(0.25, ge=0)
    decay: float = Field(0.98, ge=0, lt=1)
    prior_width: int = Field(8, ge=1)
    prior_layers: int = Field(2, ge=1)


class VqModel(GenerativeModel):
    """x -> grids of discrete codes -> x, with p(codes | class)."""

    Config: ClassVar[type[Hyper]] = VqConfig
    phases: ClassVar[tuple[str, ...]] = ("codes", "prior")
    likelihood: ClassVar[Likelihood] = "bound"
    config: VqConfig

    @property
    def conditional(self) -> bool:
        return self.spec.classes > 0

    def initialize_codebooks(self, x: Tensor) -> None:
        """Initialise the codebooks from scaled images (B, C, H, W), the autoencoder in training mode."""
        raise NotImplementedError

    @torch.no_grad()
    def begin(self, phase: str, data: Split) -> None:
        if phase == "codes":
            self.set_training("autoencoder")
            index = torch.randint(data.positions, (FIRST,), device=self.device)  # with replacement
            self.initialize_codebooks(scale_levels(data.train_batch(index).x, self.spec))


def build_quantizer(config: VqConfig) -> VectorQuantizer:
    """Return a quantiser with the settings of `config`."""
    return VectorQuantizer(
        config.codes, config.dimension, codebook=config.codebook, commitment=config.commitment, decay=config.decay
    )
