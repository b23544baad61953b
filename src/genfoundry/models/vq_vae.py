"""VQ-VAE (van den Oord et al. 2017, arXiv:1711.00937) with a gated PixelCNN over its codes.

Phase `codes` trains the autoencoder; phase `prior` leaves it as it is and trains p(codes | class). An image is drawn
from the prior's codes by the decoder's distribution.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from genfoundry.models.families.vector_quantized import VqConfig, VqModel, build_quantizer
from genfoundry.nn.conv.blocks import Upsample, downsample, halve_size, residual_blocks, scale_levels
from genfoundry.nn.heads.simple import head_for
from genfoundry.nn.latent.code_prior import CodePrior
from genfoundry.nn.latent.vector_quantizer import Quantised, VectorQuantizer, normalized_conv
from genfoundry.types import Batch, Clock, Draw, Spec


class VqVae(VqModel):
    """x (B, C, H, W) -> codes (B, H / 4, W / 4), each one of `codes` -> x.

    The likelihood is a bound: p(x) is the sum over all grids of p(grid) p(x | grid), of which `measure` takes the
    encoder's grid alone: -log p(x) <= -log p(codes(x)) - log p(x | codes(x)). p(codes) is exact; it sums over classes.
    """

    defaults: ClassVar[Mapping[str, Any]] = {
        "batch": 64,
        "lr": {"autoencoder": 2e-3, "prior": 2e-3},
        "betas": [0.9, 0.99],
    }

    @classmethod
    def suggest_settings(cls, spec: Spec, items: int) -> dict[str, Any]:
        large = items >= 2000
        hyper = {"codes": 128 if large else 32, "dimension": 16, "width": 32, "mixtures": 5}
        hyper |= {"prior_width": 64 if large else 32, "prior_layers": 4}
        return {"hyper": hyper, "search": {"train.lr.autoencoder": {"low": 1e-3, "high": 4e-3, "log": True}}}

    def __init__(self, spec: Spec, config: VqConfig) -> None:
        super().__init__(spec, config)
        channels, full, w = spec.shape[0], (spec.shape[1], spec.shape[2]), config.width
        self.head = head_for(spec, config.mixtures)
        self.autoencoder = nn.ModuleDict({
            "encoder": nn.Sequential(
                nn.Conv2d(channels, w, 5, stride=2, padding=2), nn.SiLU(), downsample(w, w),
                *residual_blocks(w, config.blocks), nn.SiLU(),
                normalized_conv(w, config.dimension),  # (B, dimension, H / 4, W / 4)
            ),
            "quantiser": build_quantizer(config),
            "decoder": nn.Sequential(
                nn.Conv2d(config.dimension, w, 3, padding=1),
                *residual_blocks(w, config.blocks), nn.SiLU(), Upsample(w, w, size=halve_size(full)), nn.SiLU(),
                Upsample(w, self.head.parameters, size=full),  # (B, head.parameters, H, W)
            ),
        })  # fmt: skip
        self.prior = CodePrior(
            config.codes, halve_size(full, 2), width=config.prior_width, layers=config.prior_layers, spec=spec
        )

    def players(self) -> dict[str, list[nn.Parameter]]:
        return {"autoencoder": list(self.autoencoder.parameters()), "prior": list(self.prior.parameters())}

    def initialize_codebooks(self, x: Tensor) -> None:
        self.quantiser.initialize(self.autoencoder["encoder"](x))

    @property
    def quantiser(self) -> VectorQuantizer:
        """The quantiser, with its codebook."""
        quantiser = self.autoencoder["quantiser"]
        assert isinstance(quantiser, VectorQuantizer)
        return quantiser

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        if clock.phase == "codes":
            self.set_training("autoencoder")
            encoded = self.encode(batch.x)
            distortion = self.head.nll(self.autoencoder["decoder"](encoded.z), batch.x).mean() / self.spec.dims
            yield {"autoencoder": distortion + encoded.loss}  # eq. 3
        else:
            self.set_training("prior")
            with torch.no_grad():  # the autoencoder does not move
                index = self.encode(batch.x).index  # (B, H / 4, W / 4)
            self.prior.count_labels(batch.label, len(batch), reset=clock.step == 0)
            yield {"prior": self.prior.nll(index, batch.label).mean() / index[0].numel()}

    def encode(self, x: Tensor) -> Quantised:
        """Map levels (B, C, H, W) to codes."""
        encoded: Quantised = self.quantiser(self.autoencoder["encoder"](scale_levels(x, self.spec)))
        return encoded

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        encoded = self.encode(batch.x)
        rate = self.prior.marginal_nll(encoded.index)  # (B,)
        distortion = self.head.nll(self.autoencoder["decoder"](encoded.z), batch.x)
        return {"nll": distortion + rate, "rate": rate, "distortion": distortion}

    @torch.no_grad()
    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        index = self.prior.sample(n, label, draw=draw)  # (n, H / 4, W / 4)
        return self.head.sample(self.autoencoder["decoder"](self.quantiser.look_up(index)), draw)

    @torch.no_grad()
    def embed(self, batch: Batch) -> Tensor:
        """Return the codes' vectors, (B, dimension * cells)."""
        return self.encode(batch.x).z.flatten(1)

    @torch.no_grad()
    def codes(self, batch: Batch) -> dict[str, Tensor]:
        """Return the grid, (B, cells)."""
        return {"codes": self.encode(batch.x).index.flatten(1)}

    @torch.no_grad()
    def reconstruct(self, batch: Batch) -> Tensor:
        """Return expected values (B, C, H, W) float32 at the image's codes."""
        return self.head.mean(self.autoencoder["decoder"](self.encode(batch.x).z))
