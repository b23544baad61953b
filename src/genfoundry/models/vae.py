"""Convolutional variational autoencoder with a global code and, optionally, a map of local codes.

Kingma and Welling 2014 (arXiv:1312.6114); two levels as in Sønderby et al. 2016 (arXiv:1602.02282): the decoder's state
after the global code gives the local codes' prior, and joins the encoder's features in their posterior. `detail: 0` is
the plain, one-level VAE.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from genfoundry.models.base import GenerativeModel, Hyper, Likelihood
from genfoundry.nn.conv import Residual, Up, down, halved, scaled
from genfoundry.nn.latent import Code, Normal, anneal, floored
from genfoundry.nn.likelihood import head_for
from genfoundry.types import Batch, Clock, Draw, Spec


class Vae(GenerativeModel):
    """x (B, C, H, W) -> codes at 1 x 1 and at a quarter of the resolution -> x."""

    class Config(Hyper):
        """`warm`: share of the steps over which the divergence's weight rises to `beta`."""

        latent: int = Field(8, ge=1)
        detail: int = Field(2, ge=0)
        width: int = Field(8, ge=1)
        blocks: int = Field(1, ge=0)
        mixtures: int = Field(3, ge=1)
        beta: float = Field(1.0, ge=0)
        free_bits: float = Field(0.0, ge=0)
        warm: float = Field(0.1, ge=0, le=1)

    modalities: ClassVar[tuple[str, ...]] = ("images",)
    likelihood: ClassVar[Likelihood] = "bound"
    defaults: ClassVar[Mapping[str, Any]] = {"batch": 64, "lr": {"model": 2e-3}, "betas": [0.9, 0.99]}
    config: Config

    @classmethod
    def sized(cls, spec: Spec, items: int) -> dict[str, Any]:
        hyper = {"latent": 32, "detail": 8, "width": 32 if items >= 2000 else 16, "mixtures": 5}
        return {"hyper": hyper, "search": {"train.lr.model": {"low": 1e-3, "high": 4e-3, "log": True}}}

    def __init__(self, spec: Spec, config: Config) -> None:
        super().__init__(spec, config)
        channels, full, w = spec.shape[0], (spec.shape[1], spec.shape[2]), config.width
        half, self.size = halved(full), halved(full, 2)
        self.head = head_for(spec, config.mixtures)
        cells = self.size[0] * self.size[1]
        self.encoder = nn.Sequential(
            nn.Conv2d(channels, w, 5, stride=2, padding=2), *blocks(w, config.blocks), nn.SiLU(),
            down(w, 2 * w), *blocks(2 * w, config.blocks), nn.SiLU(),
        )  # fmt: skip
        self.posterior = nn.Linear(2 * w * cells, 2 * config.latent)
        self.spread = nn.Linear(config.latent, 2 * w * cells)
        self.top = blocks(2 * w, config.blocks)
        if config.detail:
            self.detail_prior = quiet(nn.Conv2d(2 * w, 2 * config.detail, 1))
            self.detail_posterior = nn.Sequential(
                nn.Conv2d(4 * w, 2 * w, 1), nn.SiLU(), quiet(nn.Conv2d(2 * w, 2 * config.detail, 1))
            )
            self.detail_in = nn.Conv2d(config.detail, 2 * w, 1)
        self.decoder = nn.Sequential(
            *blocks(2 * w, config.blocks), nn.SiLU(), Up(2 * w, w, size=half),
            *blocks(w, config.blocks), nn.SiLU(), Up(w, self.head.parameters, size=full),
        )  # fmt: skip

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        out, codes = self.forward(batch)
        rate = torch.stack([summed(code.divergence()) for code in codes]).sum(0)
        distortion = self.head.nll(out, batch.x)
        return {"nll": distortion + rate, "rate": rate, "distortion": distortion}

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        out, codes = self.forward(batch)
        rate = torch.stack([floored(code.divergence(), self.config.free_bits) for code in codes]).sum()
        weight = self.config.beta * anneal(clock, self.config.warm)
        yield {"model": (self.head.nll(out, batch.x).mean() + weight * rate) / self.spec.dims}

    def log_weights(self, batch: Batch) -> Tensor:
        """(B,) log p(x, z) - log q(z | x) at one drawn z: its mean is the ELBO, log of the mean of exp is log p(x)."""
        out, codes = self.forward(batch)
        return torch.stack([summed(c.p.log(c.z) - c.q.log(c.z)) for c in codes]).sum(0) - self.head.nll(out, batch.x)

    @torch.no_grad()
    def bound(self, batch: Batch, k: int) -> Tensor:
        """(B,) nats: the importance-weighted bound of k draws on -log p(x) (Burda et al. 2016, arXiv:1509.00519)."""
        weights = torch.stack([self.log_weights(batch) for _ in range(k)])
        return math.log(k) - weights.logsumexp(0)

    def forward(self, batch: Batch) -> tuple[Tensor, list[Code]]:
        """The head's parameters at drawn codes, and the codes of each level."""
        features = self.encoder(scaled(batch.x, self.spec))
        q = Normal.of(self.posterior(features.flatten(1)))
        codes = [Code(q, Normal.standard(q.mean), q.draw())]
        state = self.begun(codes[0].z)
        if self.config.detail:
            p = Normal.of(self.detail_prior(state))
            shift = Normal.of(self.detail_posterior(torch.cat([features, state], 1)))
            q = Normal(p.mean + shift.mean, p.scale + shift.scale)
            codes.append(Code(q, p, q.draw()))
            state = state + self.detail_in(codes[1].z)
        out: Tensor = self.decoder(state)
        return out, codes

    def begun(self, z: Tensor) -> Tensor:
        """(B, latent) -> the decoder's state after the global code, (B, 2 width, H / 4, W / 4)."""
        state = self.spread(z).view(len(z), -1, *self.size).contiguous(memory_format=torch.channels_last)
        begun: Tensor = self.top(state)
        return begun

    def finished(self, z: Tensor, temperature: float) -> Tensor:
        """(B, latent) -> the head's parameters, local codes drawn from their prior at `temperature`."""
        state = self.begun(z)
        if self.config.detail:
            state = state + self.detail_in(Normal.of(self.detail_prior(state)).draw(temperature))
        out: Tensor = self.decoder(state)
        return out

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
        return Normal.of(self.posterior(self.encoder(scaled(batch.x, self.spec)).flatten(1))).mean

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """(B, latent) -> (B, C, H, W) float32 expected values, local codes at their prior's mean."""
        return self.head.mean(self.finished(z, 0.0))

    @torch.no_grad()
    def reconstruct(self, batch: Batch) -> Tensor:
        """(B, C, H, W) float32 expected values at drawn codes."""
        return self.head.mean(self.forward(batch)[0])

    def panels(self, batch: Batch) -> dict[str, Tensor]:
        return {"samples": self.sample(len(batch)), "originals": batch.x, "reconstructions": self.reconstruct(batch)}


def summed(x: Tensor) -> Tensor:
    """(B, ...) -> (B,)."""
    return x.flatten(1).sum(1)


def blocks(channels: int, count: int) -> nn.Sequential:
    """`count` residual blocks."""
    return nn.Sequential(*(Residual(channels) for _ in range(count)))


def quiet(conv: nn.Conv2d) -> nn.Conv2d:
    """`conv` with small weights and no bias: codes start near their prior."""
    nn.init.normal_(conv.weight, std=0.01)
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return conv
