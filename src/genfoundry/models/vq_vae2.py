"""Two-level vector-quantised autoencoder (Razavi et al. 2019, arXiv:1906.00446) with a prior for each level.

Codes at an eighth of the resolution, "top", say what is where; codes at a quarter, "bottom", say what it looks like
there. The bottom's encoder and decoder both see the top's codes. Phase `prior` leaves the autoencoder as it is and
learns p(top | class) and p(bottom | top), two gated PixelCNNs.
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
from genfoundry.nn.latent.code_prior import BottomPrior, CodePrior
from genfoundry.nn.latent.vector_quantizer import Quantised, Quantiser, Rule, spread
from genfoundry.types import Batch, Clock, Draw, Spec

if TYPE_CHECKING:
    from genfoundry.splits import Split

FIRST = 64  # images whose encodings the codebooks start from


class Autoencoder(nn.Module):
    """x (B, C, H, W) in -1..1 -> top (B, D, H / 8, W / 8), bottom (B, D, H / 4, W / 4) -> the head's parameters."""

    def __init__(self, spec: Spec, config: VqVae2.Config, outputs: int) -> None:
        super().__init__()
        channels, full, w = spec.shape[0], (spec.shape[1], spec.shape[2]), config.width
        d, quarter = config.dimension, halved(full, 2)
        self.to_quarter = nn.Sequential(
            nn.Conv2d(channels, w, 5, stride=2, padding=2), nn.SiLU(), down(w, w),
            *residuals(w, config.blocks), nn.SiLU(),
        )  # fmt: skip
        self.to_eighth = nn.Sequential(down(w, w), *residuals(w, config.blocks), nn.SiLU(), spread(w, d))
        self.top, self.bottom = (
            Quantiser(config.codes, d, codebook=config.codebook, commitment=config.commitment, decay=config.decay)
            for _ in range(2)
        )
        self.raised = Up(d, w, size=quarter)  # the top's codes at the bottom's resolution
        self.to_bottom = nn.Sequential(nn.Conv2d(2 * w, w, 3, padding=1), nn.SiLU(), spread(w, d))
        self.joined = nn.Conv2d(d + w, w, 3, padding=1)
        self.decoder = nn.Sequential(
            *residuals(w, config.blocks), nn.SiLU(), Up(w, w, size=halved(full)), nn.SiLU(), Up(w, outputs, size=full)
        )

    def encode(self, x: Tensor) -> tuple[Quantised, Quantised]:
        """Top, then bottom given top."""
        features = self.to_quarter(x)
        top: Quantised = self.top(self.to_eighth(features))
        bottom: Quantised = self.bottom(self.to_bottom(torch.cat([features, self.raised(top.z)], 1)))
        return top, bottom

    def decode(self, top: Tensor, bottom: Tensor) -> Tensor:
        """Vectors of the codes (B, D, ...) -> (B, outputs, H, W)."""
        out: Tensor = self.decoder(self.joined(torch.cat([bottom, self.raised(top)], 1)))
        return out


class VqVae2(GenerativeModel):
    """x (B, C, H, W) -> a grid of codes at an eighth and one at a quarter of the resolution -> x.

    The likelihood is a bound: of all pairs of grids, `measure` takes the encoder's alone, -log p(x) <= -log p(top)
    - log p(bottom | top) - log p(x | top, bottom). p(top) is exact: it sums over the classes, and a class acts on the
    bottom by way of the top.
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
        "batch": 32,
        "lr": {"autoencoder": 2e-3, "top": 2e-3, "bottom": 2e-3},
        "betas": [0.9, 0.99],
    }
    config: Config

    @classmethod
    def suggest_settings(cls, spec: Spec, items: int) -> dict[str, Any]:
        hyper = {"codes": 128, "dimension": 16, "width": 32, "mixtures": 5, "prior_width": 32, "prior_layers": 4}
        return {"hyper": hyper, "search": {"train.lr.autoencoder": {"low": 1e-3, "high": 4e-3, "log": True}}}

    def __init__(self, spec: Spec, config: Config) -> None:
        super().__init__(spec, config)
        full = (spec.shape[1], spec.shape[2])
        self.head = head_for(spec, config.mixtures)
        self.autoencoder = Autoencoder(spec, config, self.head.parameters)
        self.top = CodePrior(
            config.codes, halved(full, 3), width=config.prior_width, layers=config.prior_layers, spec=spec
        )
        self.bottom = BottomPrior(config.codes, halved(full, 2), width=config.prior_width, layers=config.prior_layers)

    @property
    def conditional(self) -> bool:
        return self.spec.classes > 0

    def players(self) -> dict[str, list[nn.Parameter]]:
        modules = {"autoencoder": self.autoencoder, "top": self.top, "bottom": self.bottom}
        return {name: list(module.parameters()) for name, module in modules.items()}

    @torch.no_grad()
    def begin(self, phase: str, data: Split) -> None:
        if phase == "codes":
            self.set_training("autoencoder")
            own = self.autoencoder
            some = torch.randint(data.positions, (FIRST,), device=self.device)
            features = own.to_quarter(scaled(data.train_batch(some).x, self.spec))
            top = own.to_eighth(features)
            own.top.begin(top)
            raised = own.raised(own.top.eval()(top).z)
            own.bottom.begin(own.to_bottom(torch.cat([features, raised], 1)))

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        x = scaled(batch.x, self.spec)
        if clock.phase == "codes":
            self.set_training("autoencoder")
            top, bottom = self.autoencoder.encode(x)
            distortion = self.head.nll(self.autoencoder.decode(top.z, bottom.z), batch.x).mean() / self.spec.dims
            yield {"autoencoder": distortion + top.loss + bottom.loss}
        else:
            self.set_training("top", "bottom")
            with torch.no_grad():
                top, bottom = self.autoencoder.encode(x)
            self.top.count(batch.label, len(batch), anew=clock.step == 0)
            yield {
                "top": self.top.conditional(top.index, batch.label).mean() / top.index[0].numel(),
                "bottom": self.bottom.nll(bottom.index, top.index).mean() / bottom.index[0].numel(),
            }

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        top, bottom = self.autoencoder.encode(scaled(batch.x, self.spec))
        rates = {"rate_top": self.top.marginal(top.index), "rate_bottom": self.bottom.nll(bottom.index, top.index)}
        rate = rates["rate_top"] + rates["rate_bottom"]
        distortion = self.head.nll(self.autoencoder.decode(top.z, bottom.z), batch.x)
        return {"nll": distortion + rate, "rate": rate, "distortion": distortion, **rates}

    @torch.no_grad()
    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        top = self.top.sample(n, label, draw=draw)
        bottom = self.bottom.sample(top, draw)
        own = self.autoencoder
        return self.head.sample(own.decode(own.top.looked_up(top), own.bottom.looked_up(bottom)), draw)

    @torch.no_grad()
    def embed(self, batch: Batch) -> Tensor:
        """(B, dimension * cells): the vectors of the top codes."""
        return self.autoencoder.encode(scaled(batch.x, self.spec))[0].z.flatten(1)

    @torch.no_grad()
    def codes(self, batch: Batch) -> dict[str, Tensor]:
        """Both grids, (B, cells) each."""
        found = zip(("top", "bottom"), self.autoencoder.encode(scaled(batch.x, self.spec)), strict=True)
        return {level: one.index.flatten(1) for level, one in found}

    @torch.no_grad()
    def reconstruct(self, batch: Batch) -> Tensor:
        """(B, C, H, W) float32 expected values at the image's codes."""
        top, bottom = self.autoencoder.encode(scaled(batch.x, self.spec))
        return self.head.mean(self.autoencoder.decode(top.z, bottom.z))
