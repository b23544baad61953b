"""Sentence VAE (Bowman et al. 2016, arXiv:1511.06349) over the characters of a line.

A bidirectional recurrent encoder gives q(z | x); a recurrent decoder reads z at every step, and the characters before.
Such a decoder would ignore the code (posterior collapse): character dropout at its input, free bits and KL annealing
(section 3.1) keep z in use. Level 0 is the end of a line. What follows the first end costs nothing, since
the model puts probability 1 on padding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from genfoundry.models.base import Hyper, Likelihood
from genfoundry.models.families.normal_prior import NormalPriorModel
from genfoundry.nn.heads.categorical_sampling import sample_categorical
from genfoundry.nn.latent.gaussian import Normal, apply_free_bits, kl_divergence, kl_weight
from genfoundry.nn.sequence.end_of_sequence import mask_inside
from genfoundry.nn.sequence.rnn_cells import GatedCell, zero_state
from genfoundry.types import Batch, Clock, Draw, Spec

END = 0
PROPOSALS = 16  # codes a sample that are weighted by a prompt
STEPS = 6  # of an interpolation between two lines


class TextVae(NormalPriorModel):
    """x (B, T) characters -> code (B, latent) -> (B, T, V) logits."""

    class Config(Hyper):
        """`dropout`: share of the decoder's input characters that are hidden; `free_bits`: bits a latent without cost.

        `warm`: share of the steps over which the KL term's weight rises to `beta`.
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
        self.start, self.hidden = spec.levels, spec.levels + 1  # input symbols beside the characters
        width, embedding = config.width, config.embedding
        self.ahead = GatedCell(spec.levels, width, kind="gru", embedding=embedding)
        self.back = GatedCell(spec.levels, width, kind="gru", embedding=embedding)
        self.posterior = nn.Linear(2 * width, 2 * config.latent)
        self.first = nn.Linear(config.latent, width)
        self.decoder = GatedCell(spec.levels + 2, width, kind="gru", embedding=embedding, beside=config.latent)
        self.out = nn.Linear(width, spec.levels)

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        """Return minus the ELBO: `nll` = `distortion` + `rate`."""
        q = self.encode(batch.x)
        rate = kl_divergence(q, Normal.standard(q.mean)).sum(1)  # (B,)
        distortion = self.reconstruction_nll(batch.x, q.sample())
        return {"nll": distortion + rate, "rate": rate, "distortion": distortion}

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        q = self.encode(batch.x)
        rate = apply_free_bits(kl_divergence(q, Normal.standard(q.mean)), self.config.free_bits)
        distortion = self.reconstruction_nll(batch.x, q.sample(), self.config.dropout).mean()
        weight = self.config.beta * kl_weight(clock, self.config.warm)
        characters = mask_inside(batch.x, END).sum(1).float().mean()  # mean length, ends included
        yield {"model": (distortion + weight * rate) / characters}

    @torch.no_grad()
    def bound(self, batch: Batch, k: int) -> Tensor:
        """Return (B,) nats: the importance-weighted bound of k draws on -log p(x) (Burda et al. 2016, eq. 8)."""
        q = self.encode(batch.x)
        p, weights = Normal.standard(q.mean), []
        for _ in range(k):
            z = q.sample()
            weights.append((p.log_prob(z) - q.log_prob(z)).sum(1) - self.reconstruction_nll(batch.x, z))
        return math.log(k) - torch.stack(weights).logsumexp(0)

    def encode(self, x: Tensor) -> Normal:
        """Map (B, T) to q(z | x), (B, latent), from the characters up to the first end alone."""
        last = mask_inside(x, END).sum(1, keepdim=True) - 1  # (B, 1)
        position = torch.arange(x.shape[1], device=x.device)
        reversed_x = x.gather(1, (last - position).clamp_min(0))  # the line from its end; the rest is not read
        index = last[:, :, None].expand(-1, -1, self.config.width)  # (B, 1, width)
        start = zero_state("gru", len(x), self.config.width, self.device)
        # The state of each direction after the whole line, (B, width)
        states = [
            cell(text, start)[0].gather(1, index)[:, 0] for cell, text in ((self.ahead, x), (self.back, reversed_x))
        ]
        return Normal.from_output(self.posterior(torch.cat(states, 1)))

    def reconstruction_nll(self, x: Tensor, z: Tensor, dropout: float = 0.0) -> Tensor:
        """Return (B,) nats, -log p(x | z); `dropout` hides a share of the characters that the decoder reads."""
        before = torch.cat([x.new_full((len(x), 1), self.start), x[:, :-1]], 1)  # (B, T)
        if dropout:
            dropped = torch.rand(before.shape, device=x.device) < dropout
            before = before.masked_fill(dropped & (before != self.start), self.hidden)
        states, _ = self.decoder(before, self.first_state(z), z)  # (B, T, width)
        nll = F.cross_entropy(self.out(states).flatten(0, 1).float(), x.flatten(), reduction="none")
        return (nll.view(x.shape) * mask_inside(x, END)).sum(1)

    def first_state(self, z: Tensor) -> Tensor:
        """Map (B, latent) to the decoder's first state (1, B, width)."""
        return torch.tanh(self.first(z))[None]

    @torch.no_grad()
    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        """Draw (n, T) characters, which follow the prompt `cond` (n, P), if any; a line has T at most."""
        if cond is None:
            return self.generate(draw.temperature * self.prior(n), draw)
        prompt = cond.to(self.device).long()
        z = self.prior(n * PROPOSALS)
        log_prob = self._prompt_log_prob(prompt.repeat_interleave(PROPOSALS, 0), z).view(n, PROPOSALS)
        index = torch.multinomial(log_prob.softmax(1), 1)[:, 0]  # p(z | prompt), by importance resampling
        return self.generate(z.view(n, PROPOSALS, -1)[torch.arange(n, device=z.device), index], draw, prompt)

    def _prompt_log_prob(self, prompt: Tensor, z: Tensor) -> Tensor:
        """(B,) log p(prompt | z) of prompts (B, P)."""
        before = torch.cat([prompt.new_full((len(prompt), 1), self.start), prompt[:, :-1]], 1)
        states, _ = self.decoder(before, self.first_state(z), z)  # (B, P, width)
        log_probs = self.out(states).float().log_softmax(-1)  # (B, P, V)
        total: Tensor = log_probs.gather(2, prompt[:, :, None])[:, :, 0].sum(1)  # (B,)
        return total

    def generate(self, z: Tensor, draw: Draw, prompt: Tensor | None = None) -> Tensor:
        """Draw (B, T) characters from codes (B, latent), after the prompt (B, P); ends follow the first end."""
        n, length = len(z), self.spec.shape[0]
        before = torch.full((n, 1), self.start, device=self.device)
        if prompt is not None:
            before = torch.cat([before, prompt], 1)
        states, state = self.decoder(before, self.first_state(z), z)  # (n, 1 + P, width)
        text = torch.full((n, length), END, device=self.device)
        ended = torch.zeros(n, dtype=torch.bool, device=self.device)
        for t in range(length - (before.shape[1] - 1)):  # the line has room for T characters, its prompt included
            text[:, t] = sample_categorical(self.out(states[:, -1]), draw).masked_fill(ended, END)
            ended = ended | (text[:, t] == END)
            states, state = self.decoder(text[:, t : t + 1], state, z)  # (n, 1, width)
        return text

    @torch.no_grad()
    def embed(self, batch: Batch) -> Tensor:
        """Return (B, latent): means of the codes."""
        return self.encode(batch.x).mean

    posterior_means = embed

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """Map (B, latent) to (B, T): at every step the likeliest character."""
        return self.generate(z, Draw(temperature=0.0))

    def panels(self, batch: Batch) -> dict[str, Tensor]:
        """Return samples; each line and the decoding of its code; interpolations between the codes of two lines."""
        z = self.embed(batch)
        pairs = torch.stack([batch.x, self.decode(z)], 1).flatten(0, 1)  # (2B, T): a line, its decoding, the next line
        ends = z[: len(z) // 2 * 2].view(-1, 2, z.shape[1])  # (pairs, 2, latent)
        share = torch.linspace(0, 1, STEPS, device=z.device)[:, None]
        between = torch.lerp(ends[:, :1], ends[:, 1:], share)  # (pairs, STEPS, latent)
        middle = self.decode(between.flatten(0, 1)).view(len(ends), STEPS, -1)  # (pairs, STEPS, T)
        first, second = batch.x[: 2 * len(ends)].view(len(ends), 2, 1, -1).unbind(1)  # (pairs, 1, T) each
        strips = torch.cat([first, middle, second, torch.full_like(first, END)], 1)  # an empty line after each strip
        return {"samples": self.sample(len(batch)), "reconstructions": pairs, "interpolation": strips.flatten(0, 1)}
