"""Variational autoencoder with a global code and, if convolutional, a map of local codes.

Kingma and Welling 2014 (arXiv:1312.6114); two levels as in Sønderby et al. 2016 (arXiv:1602.02282): the decoder's state
after the global code gives the prior of the local codes, and joins the encoder's features in their posterior. `detail:
0` is the plain, one-level VAE. With `importance` draws the objective is the importance-weighted bound (Burda et al.
2016, arXiv:1509.00519, eq. 8). With `noise` the encoder sees a damaged x and everything else the clean one: the
denoising bound of Im et al. 2017 (arXiv:1511.06406), which is a bound on log p(x), too, since any q(z | damaged x) may
stand for q(z | x).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from genfoundry.models.base import Hyper, Likelihood
from genfoundry.models.families.normal_prior import NormalPriorModel
from genfoundry.nn.conv.blocks import scale_levels
from genfoundry.nn.conv.corruption import Corruption, Noise, paste_known
from genfoundry.nn.conv.encoder_decoder import Codec, ConvDecoder, Net, init_small
from genfoundry.nn.heads.simple import head_for
from genfoundry.nn.latent.gaussian import Latent, Normal, apply_free_bits, kl_weight
from genfoundry.types import Batch, Clock, Draw, Spec

CHUNK = 400  # images that `bound` decodes together; many more leave the cache, and take twice as long
AVERAGED = 4  # draws of a restoration: the posterior mean is the best estimate in squared error


class Vae(NormalPriorModel):
    """x (B, C, H, W) -> codes at 1 x 1 and at a quarter of the resolution -> x."""

    class Config(Hyper):
        """`hidden` is the MLP's only layer; `width` and `blocks` are the convolutional net's.

        `warm`: share of the steps over which the KL term's weight rises to `beta`. `noise` and `level`: the damage that
        it learns to undo (`Corruption`).
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
        def _check_combination(self) -> Vae.Config:
            if self.net == "mlp" and self.detail:
                raise ValueError(f"expected detail: 0 with net: mlp, which has no map of codes, got {self.detail}")
            if self.importance > 1 and (self.beta, self.free_bits) != (1.0, 0.0):
                raise ValueError("expected beta: 1.0 and free_bits: 0.0 with importance above 1, a bound of its own")
            return self

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
        self.damages = self.corruption.damages
        self.encoder = codec.encoder(spec, self.corruption.extra)
        self.posterior = nn.Linear(self.encoder.features, 2 * config.latent)
        self.decoder = codec.decoder(spec, config.latent, self.head.parameters)
        if config.detail:
            w = config.width
            # 2 w: the channels of the state at a quarter of the resolution
            self.detail_prior = init_small(nn.Conv2d(2 * w, 2 * config.detail, 1))
            self.detail_posterior = nn.Sequential(
                nn.Conv2d(4 * w, 2 * w, 1), nn.SiLU(), init_small(nn.Conv2d(2 * w, 2 * config.detail, 1))
            )
            self.detail_in = nn.Conv2d(config.detail, 2 * w, 1)

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        """Return minus the ELBO: `nll` = `distortion` + `rate`."""
        out, latents = self.encode_decode(self._features(batch.x))
        rate = torch.stack([latent.kl().flatten(1).sum(1) for latent in latents]).sum(0)  # (B,)
        distortion = self.head.nll(out, batch.x)
        return {"nll": distortion + rate, "rate": rate, "distortion": distortion}

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        features, weight = self._features(batch.x), kl_weight(clock, self.config.warm)
        if self.config.importance > 1:
            weights = self.log_weights(features, batch.x, self.config.importance, weight)  # (k, B)
            yield {"model": (math.log(len(weights)) - weights.logsumexp(0)).mean() / self.spec.dims}  # eq. 8
            return
        out, latents = self.encode_decode(features)
        rate = torch.stack([apply_free_bits(latent.kl(), self.config.free_bits) for latent in latents]).sum()
        yield {"model": (self.head.nll(out, batch.x).mean() + self.config.beta * weight * rate) / self.spec.dims}

    def log_weights(self, features: Tensor, x: Tensor, k: int, weight: float = 1.0) -> Tensor:
        """Return (k, B) log p(x, z) - log q(z | x) at k drawn z, the part of the codes times `weight`.

        Their mean estimates the ELBO; the log of the mean of their exponentials estimates log p(x).
        """
        out, latents = self.encode_decode(features.repeat(k, *[1] * (features.ndim - 1)))  # (k * B, ...)
        ratio = torch.stack([(c.p.log_prob(c.z) - c.q.log_prob(c.z)).flatten(1).sum(1) for c in latents]).sum(0)
        nll = self.head.nll(out, x.repeat(k, 1, 1, 1))  # (k * B,)
        return (weight * ratio - nll).view(k, len(x))

    @torch.no_grad()
    def bound(self, batch: Batch, k: int) -> Tensor:
        """Return (B,) nats: the importance-weighted bound of k draws on -log p(x); the encoder runs once."""
        features, size = self._features(batch.x), max(1, CHUNK // len(batch))
        parts = [self.log_weights(features, batch.x, min(size, k - done)) for done in range(0, k, size)]
        return math.log(k) - torch.cat(parts).logsumexp(0)

    def _features(self, x: Tensor) -> Tensor:
        """Levels -> the encoder's features, of damaged copies if the model learns to undo damage."""
        return self.encoder(self.corruption.corrupt(scale_levels(x, self.spec)))  # type: ignore[no-any-return]

    def _clean_features(self, x: Tensor, known: Tensor | None = None) -> Tensor:
        """Levels as they are -> the encoder's features."""
        return self.encoder(self.corruption.to_input(scale_levels(x, self.spec), known))  # type: ignore[no-any-return]

    def encode_decode(self, features: Tensor, temperature: float = 1.0) -> tuple[Tensor, list[Latent]]:
        """Map encoder features to the head's parameters at drawn codes (`temperature` 0: means); the latents."""
        q = Normal.from_output(self.posterior(features.flatten(1)))  # (B, latent)
        latents = [Latent(q, Normal.standard(q.mean), q.sample(temperature))]  # global, (B, latent)
        if not isinstance(self.decoder, ConvDecoder):
            return self.decoder(latents[0].z), latents
        state = self.decoder.expand(latents[0].z)  # (B, 2 width, H / 4, W / 4)
        if self.config.detail:
            p = Normal.from_output(self.detail_prior(state))  # (B, detail, H / 4, W / 4)
            shift = Normal.from_output(self.detail_posterior(torch.cat([features, state], 1)))
            q = Normal(p.mean + shift.mean, p.scale + shift.scale)  # relative to the prior
            latents.append(Latent(q, p, q.sample(temperature)))  # local, (B, detail, H / 4, W / 4)
            state = state + self.detail_in(latents[1].z)
        return self.decoder.upsample(state), latents

    def decode_global(self, z: Tensor, temperature: float) -> Tensor:
        """Map (B, latent) to the head's parameters, local codes drawn from their prior at `temperature`."""
        if not isinstance(self.decoder, ConvDecoder) or not self.config.detail:
            return self.decoder(z)  # type: ignore[no-any-return]
        state = self.decoder.expand(z)  # (B, 2 width, H / 4, W / 4)
        local = Normal.from_output(self.detail_prior(state)).sample(temperature)
        return self.decoder.upsample(state + self.detail_in(local))

    @torch.no_grad()
    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        z = draw.temperature * self.prior(n)
        return self.head.sample(self.decode_global(z, draw.temperature), draw)

    @torch.no_grad()
    def embed(self, batch: Batch) -> Tensor:
        """Return (B, latent): means of the global codes."""
        return Normal.from_output(self.posterior(self._clean_features(batch.x).flatten(1))).mean

    posterior_means = embed

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """Map (B, latent) to expected values (B, C, H, W) float32, local codes at the mean of their prior."""
        return self.head.mean(self.decode_global(z, 0.0))

    @torch.no_grad()
    def edit(self, batch: Batch, shift: Tensor) -> Tensor:
        """Return expected values (B, C, H, W) float32 with global codes moved by `shift` (B, latent)."""
        # Only the global codes move: local ones stay at the means of their posterior
        latents = self.encode_decode(self._clean_features(batch.x), 0.0)[1]
        z = latents[0].z + shift
        if not isinstance(self.decoder, ConvDecoder) or not self.config.detail:
            return self.decode(z)
        return self.head.mean(self.decoder.upsample(self.decoder.expand(z) + self.detail_in(latents[1].z)))

    @torch.no_grad()
    def reconstruct(self, batch: Batch) -> Tensor:
        """Return expected values (B, C, H, W) float32 at drawn codes."""
        return self.head.mean(self.encode_decode(self._clean_features(batch.x))[0])

    @torch.no_grad()
    def restore(self, x: Tensor, known: Tensor | None = None) -> Tensor:
        """Map damaged levels (B, C, H, W) to expected values of the clean image, float32, averaged over drawn codes."""
        features = self._clean_features(x, known)
        means = torch.stack([self.head.mean(self.encode_decode(features)[0]) for _ in range(AVERAGED)])
        return paste_known(means.mean(0), x, known)
