"""VQ-VAE-2 (Razavi et al. 2019, arXiv:1906.00446): two levels of discrete codes, with a prior for each.

Codes at an eighth of the resolution, "top", hold the layout; codes at a quarter, "bottom", hold the details. The
bottom's encoder and decoder both see the top's codes. Phase `prior` leaves the autoencoder as it is and trains
p(top | class) and p(bottom | top), two gated PixelCNNs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from genfoundry.models.families.vector_quantized import VqConfig, VqModel, build_quantizer
from genfoundry.nn.conv.blocks import Upsample, downsample, halve_size, residual_blocks, scale_levels
from genfoundry.nn.heads.simple import head_for
from genfoundry.nn.latent.code_prior import BottomPrior, CodePrior
from genfoundry.nn.latent.vector_quantizer import Quantised, normalized_conv
from genfoundry.types import Batch, Clock, Draw, Spec


class TwoLevelAutoencoder(nn.Module):
    """x (B, C, H, W) in [-1, 1] -> top (B, D, H / 8, W / 8), bottom (B, D, H / 4, W / 4) -> the head's parameters."""

    def __init__(self, spec: Spec, config: VqConfig, outputs: int) -> None:
        super().__init__()
        channels, full, w = spec.shape[0], (spec.shape[1], spec.shape[2]), config.width
        d, quarter = config.dimension, halve_size(full, 2)
        self.to_quarter = nn.Sequential(
            nn.Conv2d(channels, w, 5, stride=2, padding=2), nn.SiLU(), downsample(w, w),
            *residual_blocks(w, config.blocks), nn.SiLU(),
        )  # fmt: skip
        self.to_eighth = nn.Sequential(
            downsample(w, w), *residual_blocks(w, config.blocks), nn.SiLU(), normalized_conv(w, d)
        )
        self.top, self.bottom = (build_quantizer(config) for _ in range(2))
        self.raised = Upsample(d, w, size=quarter)  # the top's codes at the bottom's resolution
        self.to_bottom = nn.Sequential(nn.Conv2d(2 * w, w, 3, padding=1), nn.SiLU(), normalized_conv(w, d))
        self.joined = nn.Conv2d(d + w, w, 3, padding=1)
        self.decoder = nn.Sequential(
            *residual_blocks(w, config.blocks), nn.SiLU(), Upsample(w, w, size=halve_size(full)), nn.SiLU(),
            Upsample(w, outputs, size=full),
        )  # fmt: skip

    def encode(self, x: Tensor) -> tuple[Quantised, Quantised]:
        """Return top, and bottom given top."""
        features = self.to_quarter(x)  # (B, width, H / 4, W / 4)
        top: Quantised = self.top(self.to_eighth(features))  # (B, D, H / 8, W / 8)
        bottom: Quantised = self.bottom(self.to_bottom(torch.cat([features, self.raised(top.z)], 1)))  # at H / 4, W / 4
        return top, bottom

    def decode(self, top: Tensor, bottom: Tensor) -> Tensor:
        """Map the codes' vectors (B, D, ...) to (B, outputs, H, W)."""
        out: Tensor = self.decoder(self.joined(torch.cat([bottom, self.raised(top)], 1)))
        return out


class VqVae2(VqModel):
    """x (B, C, H, W) -> a grid of codes at an eighth and one at a quarter of the resolution -> x.

    The likelihood is a bound: of all pairs of grids, `measure` takes the encoder's alone, -log p(x) <= -log p(top)
    - log p(bottom | top) - log p(x | top, bottom). p(top) is exact: it sums over the classes, and a class acts on the
    bottom by way of the top.
    """

    defaults: ClassVar[Mapping[str, Any]] = {
        "batch": 32,
        "lr": {"autoencoder": 2e-3, "top": 2e-3, "bottom": 2e-3},
        "betas": [0.9, 0.99],
    }

    @classmethod
    def suggest_settings(cls, spec: Spec, items: int) -> dict[str, Any]:
        hyper = {"codes": 128, "dimension": 16, "width": 32, "mixtures": 5, "prior_width": 32, "prior_layers": 4}
        return {"hyper": hyper, "search": {"train.lr.autoencoder": {"low": 1e-3, "high": 4e-3, "log": True}}}

    def __init__(self, spec: Spec, config: VqConfig) -> None:
        super().__init__(spec, config)
        full, width, layers = (spec.shape[1], spec.shape[2]), config.prior_width, config.prior_layers
        self.head = head_for(spec, config.mixtures)
        self.autoencoder = TwoLevelAutoencoder(spec, config, self.head.parameters)
        self.top = CodePrior(config.codes, halve_size(full, 3), width=width, layers=layers, spec=spec)
        self.bottom = BottomPrior(config.codes, halve_size(full, 2), width=width, layers=layers)

    def players(self) -> dict[str, list[nn.Parameter]]:
        modules = {"autoencoder": self.autoencoder, "top": self.top, "bottom": self.bottom}
        return {name: list(module.parameters()) for name, module in modules.items()}

    def initialize_codebooks(self, x: Tensor) -> None:
        net = self.autoencoder
        features = net.to_quarter(x)
        top = net.to_eighth(features)  # (B, D, H / 8, W / 8)
        net.top.initialize(top)
        # In eval mode, as looking up codes would otherwise move the codebook
        raised = net.raised(net.top.eval()(top).z)  # (B, width, H / 4, W / 4)
        net.bottom.initialize(net.to_bottom(torch.cat([features, raised], 1)))

    def encode(self, x: Tensor) -> tuple[Quantised, Quantised]:
        """Map levels (B, C, H, W) to the codes of top and bottom."""
        return self.autoencoder.encode(scale_levels(x, self.spec))

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        if clock.phase == "codes":
            self.set_training("autoencoder")
            top, bottom = self.encode(batch.x)
            distortion = self.head.nll(self.autoencoder.decode(top.z, bottom.z), batch.x).mean() / self.spec.dims
            yield {"autoencoder": distortion + top.loss + bottom.loss}
        else:
            self.set_training("top", "bottom")
            with torch.no_grad():  # the autoencoder does not move
                top, bottom = self.encode(batch.x)
            self.top.count_labels(batch.label, len(batch), reset=clock.step == 0)
            yield {
                "top": self.top.nll(top.index, batch.label).mean() / top.index[0].numel(),
                "bottom": self.bottom.nll(bottom.index, top.index).mean() / bottom.index[0].numel(),
            }

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        top, bottom = self.encode(batch.x)
        rates = {"rate_top": self.top.marginal_nll(top.index), "rate_bottom": self.bottom.nll(bottom.index, top.index)}
        rate = rates["rate_top"] + rates["rate_bottom"]
        distortion = self.head.nll(self.autoencoder.decode(top.z, bottom.z), batch.x)
        return {"nll": distortion + rate, "rate": rate, "distortion": distortion, **rates}

    @torch.no_grad()
    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        top = self.top.sample(n, label, draw=draw)  # (n, H / 8, W / 8)
        bottom = self.bottom.sample(top, draw)  # (n, H / 4, W / 4)
        net = self.autoencoder
        return self.head.sample(net.decode(net.top.look_up(top), net.bottom.look_up(bottom)), draw)

    @torch.no_grad()
    def embed(self, batch: Batch) -> Tensor:
        """Return the vectors of the top codes, (B, dimension * cells)."""
        return self.encode(batch.x)[0].z.flatten(1)

    @torch.no_grad()
    def codes(self, batch: Batch) -> dict[str, Tensor]:
        """Return both grids, (B, cells) each."""
        top, bottom = self.encode(batch.x)
        return {"top": top.index.flatten(1), "bottom": bottom.index.flatten(1)}

    @torch.no_grad()
    def reconstruct(self, batch: Batch) -> Tensor:
        """Return expected values (B, C, H, W) float32 at the image's codes."""
        top, bottom = self.encode(batch.x)
        return self.head.mean(self.autoencoder.decode(top.z, bottom.z))
