"""Plain autoencoder (Hinton and Salakhutdinov 2006), which is no generative model: it has no p(x).

It learns to reconstruct and nothing else. For comparison, `sample` draws codes from a Gaussian that is fitted to the
codes of the training items once training is over (Ghosh et al. 2020, arXiv:1903.12436, section 4).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from genfoundry.models.base import GenerativeModel, Hyper, Likelihood
from genfoundry.nn.conv.blocks import scale_levels
from genfoundry.nn.conv.corruption import Corruption, Noise, paste_known
from genfoundry.nn.conv.encoder_decoder import Codec, Net
from genfoundry.nn.heads.simple import head_for
from genfoundry.types import Batch, Clock, Draw, Spec

if TYPE_CHECKING:
    from genfoundry.splits import Split

CHUNK = 1000  # training items that are encoded together


class Autoencoder(GenerativeModel):
    """x (B, C, H, W) -> z (B, latent) -> x: the networks of a one-level `vae`, without its noise and KL term."""

    class Config(Hyper):
        """`hidden` is the MLP's only layer; `width` and `blocks` are the convolutional net's.

        `noise` and `level`: the damage that it learns to undo (`Corruption`; Vincent et al. 2008).
        """

        net: Net = "conv"
        latent: int = Field(8, ge=1)
        width: int = Field(8, ge=1)
        blocks: int = Field(1, ge=0)
        hidden: int = Field(32, ge=1)
        mixtures: int = Field(3, ge=1)
        noise: Noise = "none"
        level: float | None = Field(None, gt=0)

    likelihood: ClassVar[Likelihood] = "none"
    defaults: ClassVar[Mapping[str, Any]] = {"batch": 64, "lr": {"model": 2e-3}, "betas": [0.9, 0.99]}
    config: Config
    centre: Tensor
    factor: Tensor

    @classmethod
    def suggest_settings(cls, spec: Spec, items: int) -> dict[str, Any]:
        hyper = {"latent": 32, "width": 32 if items >= 2000 else 16, "mixtures": 5}
        return {"hyper": hyper, "search": {"train.lr.model": {"low": 1e-3, "high": 4e-3, "log": True}}}

    def __init__(self, spec: Spec, config: Config) -> None:
        super().__init__(spec, config)
        codec = Codec(config.net, config.width, config.blocks, config.hidden)
        self.head = head_for(spec, config.mixtures)
        self.corruption = Corruption(config.noise, config.level)
        self.damages = self.corruption.damages
        self.encoder = codec.encoder(spec, self.corruption.extra)
        self.code = nn.Linear(self.encoder.features, config.latent)
        self.decoder = codec.decoder(spec, config.latent, self.head.parameters)
        self.register_buffer("centre", torch.zeros(config.latent))
        self.register_buffer("factor", torch.eye(config.latent))

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        z = self._encode_input(self.corruption.corrupt(scale_levels(batch.x, self.spec)))  # (B, latent)
        yield {"model": self.head.nll(self.decoder(z), batch.x).mean() / self.spec.dims}  # nats a value

    def _encode_input(self, x: Tensor) -> Tensor:
        """The encoder's input (B, C + extra, H, W) -> (B, latent)."""
        return self.code(self.encoder(x).flatten(1))  # type: ignore[no-any-return]

    def encode(self, x: Tensor, known: Tensor | None = None) -> Tensor:
        """Map undamaged levels (B, C, H, W) to (B, latent) float32."""
        return self._encode_input(self.corruption.to_input(scale_levels(x, self.spec), known)).float()

    @torch.no_grad()
    def end(self, phase: str, data: Split) -> None:
        """Fit the Gaussian of `prior`: mean and covariance of the training items' codes."""
        self.eval()
        chunks = torch.split(torch.arange(data.positions, device=data.tensor.device), CHUNK)
        z = torch.cat([self.encode(data.train_batch(index).x) for index in chunks]).double()  # (N, latent)
        self.centre.copy_(z.mean(0))  # (latent,)
        self.factor.copy_(factorize(torch.cov(z.T, correction=0).view(len(self.centre), -1)))

    @torch.no_grad()
    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        # The fitted Gaussian is not centred at 0: temperature scales the deviation from its mean
        z = self.centre + draw.temperature * (self.prior(n) - self.centre)
        return self.head.sample(self.decoder(z), draw)

    def prior(self, n: int) -> Tensor:
        """Draw (n, latent) codes from the Gaussian fitted to those of the training items."""
        return self.centre + torch.randn(n, len(self.centre), device=self.device) @ self.factor.T  # covariance F F^T

    @torch.no_grad()
    def embed(self, batch: Batch) -> Tensor:
        """Return (B, latent) float32."""
        return self.encode(batch.x)

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """Map (B, latent) to expected values (B, C, H, W) float32."""
        return self.head.mean(self.decoder(z))

    def reconstruct(self, batch: Batch) -> Tensor:
        """Return expected values (B, C, H, W) float32."""
        return self.decode(self.embed(batch))

    @torch.no_grad()
    def restore(self, x: Tensor, known: Tensor | None = None) -> Tensor:
        """Map damaged levels (B, C, H, W) to expected values of the clean image, float32."""
        return paste_known(self.decode(self.encode(x, known)), x, known)


def factorize(covariance: Tensor) -> Tensor:
    """Return F with F F^T = covariance, which may be singular."""
    values, vectors = torch.linalg.eigh(covariance)  # (D,), (D, D)
    factor: Tensor = vectors * values.clamp_min(0).sqrt()  # rounding can make an eigenvalue of 0 negative
    return factor
