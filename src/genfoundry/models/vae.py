"""Variational autoencoder with a global code and, if convolutional, a map of local codes.

Kingma and Welling 2014 (arXiv:1312.6114); two levels as in Sønderby et al. 2016 (arXiv:1602.02282): the decoder's state
after the global code gives the local codes' prior, and joins the encoder's features in their posterior. `detail: 0` is
the plain, one-level VAE. With `importance` draws the objective is the importance-weighted bound (Burda et al. 2016,
arXiv:1509.00519). With `noise` the encoder sees a damaged x and everything else the clean one: the denoising bound of
Im et al. 2017 (arXiv:1511.06406), which bounds log p(x) too, since any q(z | damaged x) may stand for q(z | x).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from genfoundry.models.base import GenerativeModel, Hyper, Likelihood
from genfoundry.nn.conv.blocks import scaled
from genfoundry.nn.conv.corruption import Corruption, Noise, kept
from genfoundry.nn.conv.encoder_decoder import Codec, ConvDecoder, Net, quiet
from genfoundry.nn.heads.simple import head_for
from genfoundry.nn.latent.gaussian import Code, Normal, anneal, floored
from genfoundry.types import Batch, Clock, Draw, Spec

AT_ONCE = 400  # images that `bound` decodes in one batch; many more leave the cache, and take twice as long
AVERAGED = 4  # drawn codes of a restoration: the mean over the posterior is the best estimate, as squares go


class Vae(GenerativeModel):
    """x (B, C, H, W) -> codes at 1 x 1 and at a quarter of the resolution -> x."""

    class Config(Hyper):
        """`hidden` is the MLP's only layer; `width` and `blocks` are the convolutional net's.

        `warm`: share of the steps over which the divergence's weight rises to `beta`. `noise` and `level`: the damage
        that it learns to undo (`Corruption`).
        """

        net: Net = "conv"
        latent: int = Field(8, ge=1)
        detail: int = Field(2, ge=0)
        width: int = Field(8, ge=1)
        blocks: int = Field(1, ge=0)
        hidden: int = Field(32, ge=1)
        mixtures: int = Field(3, ge=1)
        beta: float = Field(1.0, ge=0)
        free_bits: float = Field(0.0, ge=0)
        warm: float = Field(0.1, ge=0, le=1)
        importance: int = Field(1, ge=1)
        noise: Noise = "none"
        level: float | None = Field(None, gt=0)

        @model_validator(mode="after")
        def _agree(self) -> Vae.Config:
            if self.net == "mlp" and self.detail:
                raise ValueError(f"detail is {self.detail}, but net: mlp has no map of codes; detail: 0 is right")
            if self.importance > 1 and (self.beta, self.free_bits) != (1.0, 0.0):
                raise ValueError("importance above 1 is a bound of its own; beta: 1.0 and free_bits: 0.0 are right")
            return self

    modalities: ClassVar[tuple[str, ...]] = ("images",)
    likelihood: ClassVar[Likelihood] = "bound"
    defaults: ClassVar[Mapping[str, Any]] = {"batch": 64, "lr": {"model": 2e-3}, "betas": [0.9, 0.99]}
    config: Config

    @classmethod
    def suggest_settings(cls, spec: Spec, items: int) -> dict[str, Any]:
        hyper = {"latent": 32, "detail": 8, "width": 32 if items >= 2000 else 16, "mixtures": 5}
        return {"hyper": hyper, "search": {"train.lr.model": {"low": 1e-3, "high": 4e-3, "log": True}}}

    def __init__(self, spec: Spec, config: Config) -> None:
        super().__init__(spec, config)
        codec = Codec(config.net, config.width, config.blocks, config.hidden)
        self.head = head_for(spec, config.mixtures)
        self.corruption = Corruption(config.noise, config.level)
        self.encoder = codec.encoder(spec, self.corruption.extra)
        self.posterior = nn.Linear(self.encoder.features, 2 * config.latent)
        self.decoder = codec.decoder(spec, config.latent, self.head.parameters)
        if config.detail:
            w = config.width
            self.detail_prior = quiet(nn.Conv2d(2 * w, 2 * config.detail, 1))
            self.detail_posterior = nn.Sequential(
                nn.Conv2d(4 * w, 2 * w, 1), nn.SiLU(), quiet(nn.Conv2d(2 * w, 2 * config.detail, 1))
            )
            self.detail_in = nn.Conv2d(config.detail, 2 * w, 1)

    @property
    def damages(self) -> tuple[str, ...]:
        return self.corruption.damages

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        out, codes = self.coded(self.seen(batch.x))
        rate = torch.stack([summed(code.divergence()) for code in codes]).sum(0)
        distortion = self.head.nll(out, batch.x)
        return {"nll": distortion + rate, "rate": rate, "distortion": distortion}

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        features, weight = self.seen(batch.x), anneal(clock, self.config.warm)
        if self.config.importance > 1:
            weights = self.log_weights(features, batch.x, self.config.importance, weight)
            yield {"model": (math.log(len(weights)) - weights.logsumexp(0)).mean() / self.spec.dims}
            return
        out, codes = self.coded(features)
        rate = torch.stack([floored(code.divergence(), self.config.free_bits) for code in codes]).sum()
        yield {"model": (self.head.nll(out, batch.x).mean() + self.config.beta * weight * rate) / self.spec.dims}

    def log_weights(self, features: Tensor, x: Tensor, k: int, weight: float = 1.0) -> Tensor:
        """(k, B) log p(x, z) - log q(z | x) at k drawn z, the codes' part times `weight`.

        The mean is the ELBO, the log of the mean of exp is log p(x).
        """
        out, codes = self.coded(features.repeat(k, *[1] * (features.ndim - 1)))  # (k * B, ...)
        ratio = torch.stack([summed(c.p.log(c.z) - c.q.log(c.z)) for c in codes]).sum(0)
        nll = self.head.nll(out, x.repeat(k, 1, 1, 1))
        return (weight * ratio - nll).view(k, len(x))

    @torch.no_grad()
    def bound(self, batch: Batch, k: int) -> Tensor:
        """(B,) nats: the importance-weighted bound of k draws on -log p(x); the encoder runs once."""
        features, each = self.seen(batch.x), max(1, AT_ONCE // len(batch))
        parts = [self.log_weights(features, batch.x, min(each, k - done)) for done in range(0, k, each)]
        return math.log(k) - torch.cat(parts).logsumexp(0)

    def seen(self, x: Tensor) -> Tensor:
        """Levels -> the encoder's features, of damaged copies if it learns to undo damage."""
        return self.encoder(self.corruption.drawn(scaled(x, self.spec)))  # type: ignore[no-any-return]

    def clean(self, x: Tensor, known: Tensor | None = None) -> Tensor:
        """Levels as they are -> the encoder's features."""
        return self.encoder(self.corruption.given(scaled(x, self.spec), known))  # type: ignore[no-any-return]

    def coded(self, features: Tensor, temperature: float = 1.0) -> tuple[Tensor, list[Code]]:
        """Encoder's features -> the head's parameters at drawn codes (`temperature` 0: at means), codes a level."""
        q = Normal.of(self.posterior(features.flatten(1)))
        codes = [Code(q, Normal.standard(q.mean), q.draw(temperature))]
        if not isinstance(self.decoder, ConvDecoder):
            return self.decoder(codes[0].z), codes
        state = self.decoder.begun(codes[0].z)
        if self.config.detail:
            p = Normal.of(self.detail_prior(state))
            shift = Normal.of(self.detail_posterior(torch.cat([features, state], 1)))
            q = Normal(p.mean + shift.mean, p.scale + shift.scale)
            codes.append(Code(q, p, q.draw(temperature)))
            state = state + self.detail_in(codes[1].z)
        return self.decoder.finished(state), codes

    def finished(self, z: Tensor, temperature: float) -> Tensor:
        """(B, latent) -> the head's parameters, local codes drawn from their prior at `temperature`."""
        if not isinstance(self.decoder, ConvDecoder) or not self.config.detail:
            return self.decoder(z)  # type: ignore[no-any-return]
        state = self.decoder.begun(z)
        return self.decoder.finished(state + self.detail_in(Normal.of(self.detail_prior(state)).draw(temperature)))

    @torch.no_grad()
    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        z = draw.temperature * self.prior(n)
        return self.head.sample(self.finished(z, draw.temperature), draw)

    def prior(self, n: int) -> Tensor:
        """(n, latent) global codes, standard normal."""
        return torch.randn(n, self.config.latent, device=self.device)

    @torch.no_grad()
    def embed(self, batch: Batch) -> Tensor:
        """(B, latent): means of the global codes."""
        return Normal.of(self.posterior(self.clean(batch.x).flatten(1))).mean

    posterior_means = embed

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """(B, latent) -> (B, C, H, W) float32 expected values, local codes at their prior's mean."""
        return self.head.mean(self.finished(z, 0.0))

    @torch.no_grad()
    def edit(self, batch: Batch, shift: Tensor) -> Tensor:
        """(B, C, H, W) float32 expected values: global codes moved by `shift` (B, latent), local codes kept."""
        codes = self.coded(self.clean(batch.x), 0.0)[1]
        z = codes[0].z + shift
        if not isinstance(self.decoder, ConvDecoder) or not self.config.detail:
            return self.decode(z)
        return self.head.mean(self.decoder.finished(self.decoder.begun(z) + self.detail_in(codes[1].z)))

    @torch.no_grad()
    def reconstruct(self, batch: Batch) -> Tensor:
        """(B, C, H, W) float32 expected values at drawn codes."""
        return self.head.mean(self.coded(self.clean(batch.x))[0])

    @torch.no_grad()
    def restore(self, x: Tensor, known: Tensor | None = None) -> Tensor:
        """(B, C, H, W) damaged levels -> float32 expected values of the clean image, averaged over drawn codes."""
        features = self.clean(x, known)
        total = torch.stack([self.head.mean(self.coded(features)[0]) for _ in range(AVERAGED)])
        return kept(total.mean(0), x, known)


def summed(x: Tensor) -> Tensor:
    """(B, ...) -> (B,)."""
    return x.flatten(1).sum(1)
