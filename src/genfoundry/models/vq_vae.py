"""Vector-quantised autoencoder (van den Oord et al. 2017, arXiv:1711.00937) with a gated PixelCNN over its codes.

Phase `codes` learns the autoencoder; phase `prior` leaves it as it is and learns p(codes | class), with which an image
is drawn: codes from the prior, then x from the decoder's distribution.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from genfoundry.models.base import GenerativeModel, Hyper, Likelihood
from genfoundry.nn.conv.blocks import Up, down, halved, scaled
from genfoundry.nn.conv.encoder_decoder import residuals
from genfoundry.nn.heads.simple import head_for
from genfoundry.nn.latent.code_prior import CodePrior
from genfoundry.nn.latent.vector_quantizer import Quantised, Quantiser, Rule, spread
from genfoundry.types import Batch, Clock, Draw, Spec

if TYPE_CHECKING:
    from genfoundry.splits import Split

FIRST = 64  # images whose encodings the codebook starts from


class VqVae(GenerativeModel):
    """x (B, C, H, W) -> codes (B, H / 4, W / 4), each one of `codes` -> x.

    The likelihood is a bound: p(x) = sum over all grids of p(grid) p(x | grid), of which `measure` takes the encoder's
    grid alone, -log p(x) <= -log p(codes(x)) - log p(x | codes(x)). p(codes) is exact: it sums over the classes.
    """

    class Config(Hyper):
        """`dimension` is the length of a code; `codebook` says what moves them: averages of encodings, or a loss."""

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

    phases: ClassVar[tuple[str, ...]] = ("codes", "prior")
    modalities: ClassVar[tuple[str, ...]] = ("images",)
    likelihood: ClassVar[Likelihood] = "bound"
    defaults: ClassVar[Mapping[str, Any]] = {
        "batch": 64,
        "lr": {"autoencoder": 2e-3, "prior": 2e-3},
        "betas": [0.9, 0.99],
    }
    config: Config

    @classmethod
    def suggest_settings(cls, spec: Spec, items: int) -> dict[str, Any]:
        big = items >= 2000
        hyper = {"codes": 128 if big else 32, "dimension": 16, "width": 32, "mixtures": 5}
        hyper |= {"prior_width": 64 if big else 32, "prior_layers": 4}
        return {"hyper": hyper, "search": {"train.lr.autoencoder": {"low": 1e-3, "high": 4e-3, "log": True}}}

    def __init__(self, spec: Spec, config: Config) -> None:
        super().__init__(spec, config)
        channels, full, w = spec.shape[0], (spec.shape[1], spec.shape[2]), config.width
        self.head = head_for(spec, config.mixtures)
        self.autoencoder = nn.ModuleDict({
            "encoder": nn.Sequential(
                nn.Conv2d(channels, w, 5, stride=2, padding=2), nn.SiLU(), down(w, w),
                *residuals(w, config.blocks), nn.SiLU(),
                spread(w, config.dimension),
            ),
            "quantiser": Quantiser(
                config.codes, config.dimension,
                codebook=config.codebook, commitment=config.commitment, decay=config.decay,
            ),
            "decoder": nn.Sequential(
                nn.Conv2d(config.dimension, w, 3, padding=1),
                *residuals(w, config.blocks), nn.SiLU(), Up(w, w, size=halved(full)), nn.SiLU(),
                Up(w, self.head.parameters, size=full),
            ),
        })  # fmt: skip
        self.prior = CodePrior(
            config.codes, halved(full, 2), width=config.prior_width, layers=config.prior_layers, spec=spec
        )

    @property
    def conditional(self) -> bool:
        return self.spec.classes > 0

    def players(self) -> dict[str, list[nn.Parameter]]:
        return {"autoencoder": list(self.autoencoder.parameters()), "prior": list(self.prior.parameters())}

    @torch.no_grad()
    def begin(self, phase: str, data: Split) -> None:
        if phase == "codes":
            self.set_training("autoencoder")
            some = torch.randint(data.positions, (FIRST,), device=self.device)
            self.quantiser.begin(self.autoencoder["encoder"](scaled(data.train_batch(some).x, self.spec)))

    @property
    def quantiser(self) -> Quantiser:
        found = self.autoencoder["quantiser"]
        assert isinstance(found, Quantiser)
        return found

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        if clock.phase == "codes":
            self.set_training("autoencoder")
            found = self.encode(batch.x)
            distortion = self.head.nll(self.autoencoder["decoder"](found.z), batch.x).mean() / self.spec.dims
            yield {"autoencoder": distortion + found.loss}
        else:
            self.set_training("prior")
            with torch.no_grad():
                index = self.encode(batch.x).index
            self.prior.count(batch.label, len(batch), anew=clock.step == 0)
            yield {"prior": self.prior.conditional(index, batch.label).mean() / index[0].numel()}

    def encode(self, x: Tensor) -> Quantised:
        """Levels -> codes."""
        found: Quantised = self.quantiser(self.autoencoder["encoder"](scaled(x, self.spec)))
        return found

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        found = self.encode(batch.x)
        rate = self.prior.marginal(found.index)
        distortion = self.head.nll(self.autoencoder["decoder"](found.z), batch.x)
        return {"nll": distortion + rate, "rate": rate, "distortion": distortion}

    @torch.no_grad()
    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        index = self.prior.sample(n, label, draw=draw)
        return self.head.sample(self.autoencoder["decoder"](self.quantiser.looked_up(index)), draw)

    @torch.no_grad()
    def embed(self, batch: Batch) -> Tensor:
        """(B, dimension * cells): the codes' vectors."""
        return self.encode(batch.x).z.flatten(1)

    @torch.no_grad()
    def codes(self, batch: Batch) -> dict[str, Tensor]:
        """The grid, (B, cells)."""
        return {"codes": self.encode(batch.x).index.flatten(1)}

    @torch.no_grad()
    def reconstruct(self, batch: Batch) -> Tensor:
        """(B, C, H, W) float32 expected values at the image's codes."""
        return self.head.mean(self.autoencoder["decoder"](self.encode(batch.x).z))
