"""Sentence VAE (Bowman et al. 2016, arXiv:1511.06349) over the characters of a line.

A bidirectional recurrent encoder gives q(z | x); a recurrent decoder reads z at every step and the characters before.
A decoder that good needs no code: dropped characters at its input, free bits and an annealed divergence keep z in use.
Code 0 is the end of a line. What follows the first end costs nothing, since the model puts probability 1 on padding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from genfoundry.models.base import GenerativeModel, Hyper, Likelihood
from genfoundry.nn.heads.categorical_sampling import sample_categorical
from genfoundry.nn.latent.gaussian import Normal, anneal, divergence, floored
from genfoundry.nn.sequence.end_of_sequence import inside
from genfoundry.nn.sequence.rnn_cells import GatedCell, rest
from genfoundry.types import Batch, Clock, Draw, Spec

END = 0
TRIED = 16  # codes a sample that are tried against a prompt
STEPS = 6  # from one line to another


class TextVae(GenerativeModel):
    """x (B, T) characters -> code (B, latent) -> (B, T, V) logits."""

    class Config(Hyper):
        """`dropout`: share of the decoder's input characters that are hidden; `free_bits` a code cost nothing.

        `warm`: share of the steps over which the divergence's weight rises to `beta`.
        """

        latent: int = Field(4, ge=1)
        width: int = Field(16, ge=1)
        embedding: int = Field(8, ge=1)
        dropout: float = Field(0.3, ge=0, le=1)
        free_bits: float = Field(0.1, ge=0)
        beta: float = Field(1.0, ge=0)
        warm: float = Field(0.3, ge=0, le=1)

    modalities: ClassVar[tuple[str, ...]] = ("lines",)
    likelihood: ClassVar[Likelihood] = "bound"
    defaults: ClassVar[Mapping[str, Any]] = {"batch": 32, "lr": {"model": 1e-2}, "betas": [0.9, 0.99]}
    config: Config

    @classmethod
    def suggest_settings(cls, spec: Spec, items: int) -> dict[str, Any]:
        hyper = {"latent": 32, "width": 256 if items >= 20_000 else 128, "embedding": 64}
        return {"hyper": hyper, "search": {"train.lr.model": {"low": 3e-3, "high": 2e-2, "log": True}}}

    def __init__(self, spec: Spec, config: Config) -> None:
        super().__init__(spec, config)
        assert spec.levels is not None
        self.start, self.hidden = spec.levels, spec.levels + 1  # input rows of their own
        width, embedding = config.width, config.embedding
        self.ahead = GatedCell(spec.levels, width, kind="gru", embedding=embedding)
        self.back = GatedCell(spec.levels, width, kind="gru", embedding=embedding)
        self.posterior = nn.Linear(2 * width, 2 * config.latent)
        self.first = nn.Linear(config.latent, width)
        self.decoder = GatedCell(spec.levels + 2, width, kind="gru", embedding=embedding, beside=config.latent)
        self.out = nn.Linear(width, spec.levels)

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        q = self.encode(batch.x)
        rate = divergence(q, Normal.standard(q.mean)).sum(1)
        distortion = self.nll(batch.x, q.draw())
        return {"nll": distortion + rate, "rate": rate, "distortion": distortion}

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        q = self.encode(batch.x)
        rate = floored(divergence(q, Normal.standard(q.mean)), self.config.free_bits)
        distortion = self.nll(batch.x, q.draw(), self.config.dropout).mean()
        weight = self.config.beta * anneal(clock, self.config.warm)
        yield {"model": (distortion + weight * rate) / inside(batch.x, END).sum(1).float().mean()}  # a character

    @torch.no_grad()
    def bound(self, batch: Batch, k: int) -> Tensor:
        """(B,) nats: the importance-weighted bound of k draws on -log p(x) (Burda et al. 2016, arXiv:1509.00519)."""
        q = self.encode(batch.x)
        p, weights = Normal.standard(q.mean), []
        for _ in range(k):
            z = q.draw()
            weights.append((p.log(z) - q.log(z)).sum(1) - self.nll(batch.x, z))
        return math.log(k) - torch.stack(weights).logsumexp(0)

    def encode(self, x: Tensor) -> Normal:
        """(B, T) -> q(z | x), (B, latent): of the characters up to the first end alone."""
        last = inside(x, END).sum(1, keepdim=True) - 1  # (B, 1)
        place = torch.arange(x.shape[1], device=x.device)
        turned = x.gather(1, (last - place).clamp_min(0))  # the line from its end; what comes after is not looked at
        at = last[:, :, None].expand(-1, -1, self.config.width)
        ends = [
            cell(way, self.rest(len(x)))[0].gather(1, at)[:, 0] for cell, way in ((self.ahead, x), (self.back, turned))
        ]
        return Normal.of(self.posterior(torch.cat(ends, 1)))

    def nll(self, x: Tensor, z: Tensor, dropout: float = 0.0) -> Tensor:
        """(B,) nats, -log p(x | z); `dropout` hides a share of the characters that the decoder reads."""
        before = torch.cat([x.new_full((len(x), 1), self.start), x[:, :-1]], 1)
        if dropout:
            lost = torch.rand(before.shape, device=x.device) < dropout
            before = before.masked_fill(lost & (before != self.start), self.hidden)
        states, _ = self.decoder(before, self.begun(z), z)
        nats = F.cross_entropy(self.out(states).flatten(0, 1).float(), x.flatten(), reduction="none")
        return (nats.view(x.shape) * inside(x, END)).sum(1)

    def begun(self, z: Tensor) -> Tensor:
        """(B, latent) -> the decoder's first state (1, B, width)."""
        return torch.tanh(self.first(z))[None]

    def rest(self, n: int) -> Tensor:
        """The zero state of n lines."""
        return rest("gru", n, self.config.width, self.device)

    @torch.no_grad()
    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        """(n, T) characters, which follow the prompt `cond` (n, P) if there is one: of a line of up to T together."""
        if cond is None:
            return self.written(draw.temperature * self.prior(n), draw)
        said = cond.to(self.device).long()
        z = self.prior(n * TRIED)
        fit = self.prompted(said.repeat_interleave(TRIED, 0), z).view(n, TRIED)
        chosen = torch.multinomial(fit.softmax(1), 1)[:, 0]  # p(z | prompt), by importance resampling
        return self.written(z.view(n, TRIED, -1)[torch.arange(n, device=z.device), chosen], draw, said)

    def prompted(self, said: Tensor, z: Tensor) -> Tensor:
        """(B,) log p(prompt | z) of prompts (B, P)."""
        before = torch.cat([said.new_full((len(said), 1), self.start), said[:, :-1]], 1)
        states, _ = self.decoder(before, self.begun(z), z)
        logs = self.out(states).float().log_softmax(-1)
        found: Tensor = logs.gather(2, said[:, :, None])[:, :, 0].sum(1)
        return found

    def written(self, z: Tensor, draw: Draw, said: Tensor | None = None) -> Tensor:
        """(B, latent) -> (B, T) characters after the prompt `said` (B, P); ends after the first one."""
        n, length = len(z), self.spec.shape[0]
        seen = torch.full((n, 1), self.start, device=self.device)
        if said is not None:
            seen = torch.cat([seen, said], 1)
        states, state = self.decoder(seen, self.begun(z), z)
        text = torch.full((n, length), END, device=self.device)
        over = torch.zeros(n, dtype=torch.bool, device=self.device)
        for t in range(length - (seen.shape[1] - 1)):  # the line has room for T characters, its prompt's included
            text[:, t] = sample_categorical(self.out(states[:, -1]), draw).masked_fill(over, END)
            over = over | (text[:, t] == END)
            states, state = self.decoder(text[:, t : t + 1], state, z)
        return text

    def prior(self, n: int) -> Tensor:
        """(n, latent) codes, standard normal."""
        return torch.randn(n, self.config.latent, device=self.device)

    @torch.no_grad()
    def embed(self, batch: Batch) -> Tensor:
        """(B, latent): means of the codes."""
        return self.encode(batch.x).mean

    posterior_means = embed

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """(B, latent) -> (B, T): at every step the likeliest character."""
        return self.written(z, Draw(temperature=0.0))

    def panels(self, batch: Batch) -> dict[str, Tensor]:
        """Besides samples: each line and its code's decode; two lines and, between, what lies between their codes."""
        z = self.embed(batch)
        paired = torch.stack([batch.x, self.decode(z)], 1).flatten(0, 1)
        ends = z[: len(z) // 2 * 2].view(-1, 2, z.shape[1])
        share = torch.linspace(0, 1, STEPS, device=z.device)[:, None]
        between = torch.lerp(ends[:, :1], ends[:, 1:], share)  # (pairs, STEPS, latent)
        middle = self.decode(between.flatten(0, 1)).view(len(ends), STEPS, -1)
        first, second = batch.x[: 2 * len(ends)].view(len(ends), 2, 1, -1).unbind(1)
        strips = torch.cat([first, middle, second, torch.full_like(first, END)], 1)  # an empty line between two strips
        return {"samples": self.sample(len(batch)), "reconstructions": paired, "interpolation": strips.flatten(0, 1)}
