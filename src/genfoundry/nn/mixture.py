"""The discretised logistic mixture: the head of ordered levels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from genfoundry.nn.draw import pick
from genfoundry.nn.head import Head, wide
from genfoundry.types import Draw


@dataclass(frozen=True)
class LogisticMixture(Head):
    """Mixture of discretised logistics (Salimans et al. 2017, arXiv:1701.05517), for ordered levels.

    Levels are scaled to -1..1; a level owns the logistic's mass within half a step of it, the lowest and highest also
    what lies beyond. A component is chosen once a position; its channel c has its mean moved by the values of the
    channels before c. `out` is, per component: 1 weight, C means, C log scales, C(C-1)/2 coefficients.
    """

    levels: int | None = 256
    mixtures: int = 5

    @property
    def parameters(self) -> int:
        c = self.channels
        return self.mixtures * (1 + 2 * c + c * (c - 1) // 2)

    @property
    def top(self) -> int:
        """The highest level."""
        assert self.levels is not None
        return self.levels - 1

    def split(self, out: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Weights (B, K, *S) as log mass, means and log scales (B, C, K, *S), coefficients (B, C(C-1)/2, K, *S)."""
        out = wide(out).contiguous()  # channels last, the slices below would have strides that no loop vectorises
        out = out.view(len(out), -1, self.mixtures, *out.shape[2:])
        c = self.channels
        return (
            out[:, 0].log_softmax(1),
            out[:, 1 : 1 + c],
            out[:, 1 + c : 1 + 2 * c].clamp_min(-7.0),
            out[:, 1 + 2 * c :],
        )

    def scaled(self, x: Tensor, like: Tensor) -> Tensor:
        """Levels -> -1..1, in the type of `like`."""
        return x.to(like.dtype) * (2.0 / self.top) - 1.0

    def moved(self, c: int, mean: Tensor, coefficients: Tensor, before: Tensor) -> Tensor:
        """(B, K, *S): channel c's means given the scaled values of the channels before it (B, c, *S)."""
        first = c * (c - 1) // 2
        return mean[:, c] + (torch.tanh(coefficients[:, first : first + c]) * before.unsqueeze(2)).sum(1)

    def nats(self, out: Tensor, x: Tensor) -> Tensor:
        log_mass, mean, scale, coefficients = self.split(out)
        value, each = self.scaled(x, mean), []
        for c in range(self.channels):
            centre = self.moved(c, mean, coefficients, value[:, :c]) if c else mean[:, 0]
            log_mass = log_mass + self.log_mass(value[:, c], centre, scale[:, c])
            each.append(log_mass.logsumexp(1))
        so_far = torch.stack(each, 1)  # log p of a channel and those before it
        return -torch.cat([so_far[:, :1], so_far.diff(dim=1)], 1) if self.channels > 1 else -so_far

    def nll(self, out: Tensor, x: Tensor) -> Tensor:
        log_mass, mean, scale, coefficients = self.split(out)
        value = self.scaled(x, mean)
        for c in range(self.channels):
            centre = self.moved(c, mean, coefficients, value[:, :c]) if c else mean[:, 0]
            log_mass = log_mass + self.log_mass(value[:, c], centre, scale[:, c])
        return -log_mass.logsumexp(1).flatten(1).sum(1)

    def given(self, out: Tensor, x: Tensor, channel: int) -> tuple[Tensor, Tensor, Tensor]:
        """(B, K, *S) each: log weights, means and log scales of a channel, given the channels of x before it."""
        log_mass, mean, scale, coefficients = self.split(out)
        value = self.scaled(x, mean)
        for c in range(channel):  # what the channels before say about the component
            centre = self.moved(c, mean, coefficients, value[:, :c]) if c else mean[:, 0]
            log_mass = log_mass + self.log_mass(value[:, c], centre, scale[:, c])
        centre = self.moved(channel, mean, coefficients, value[:, :channel]) if channel else mean[:, 0]
        return log_mass.log_softmax(1) if channel else log_mass, centre, scale[:, channel]

    def scores(self, out: Tensor, x: Tensor, channel: int) -> Tensor:
        log_mass, centre, scale = self.given(out, x, channel)
        return (log_mass.unsqueeze(-1) + self.log_masses(centre, scale)).logsumexp(1)

    def pick(self, out: Tensor, x: Tensor, channel: int, draw: Draw) -> Tensor:
        """As of every head, and the same levels; unless `draw` changes the mass, without a table of all levels.

        The level is the number of edges at which the distribution function is at most u: sought among every `span`-th
        edge, then among those between two of them.
        """
        if draw != Draw() or out.device.type != "cpu":
            return super().pick(out, x, channel, draw)
        log_mass, centre, scale = (part.movedim(1, -1).unsqueeze(-2) for part in self.given(out, x, channel))
        mass, sharp = log_mass.exp(), torch.exp(-scale)  # (B, *S, 1, K)
        u = torch.rand(*mass.shape[:-2], 1, dtype=torch.float64)

        def passed(edge: Tensor) -> Tensor:
            """(..., E) numbers of edges -> (B, *S, 1): at how many F is at most u; past the last edge F is 1."""
            distance = (self.scaled(edge + 0.5, centre).unsqueeze(-1) - centre) * sharp
            return (((torch.sigmoid(distance) * mass).sum(-1) <= u) & (edge < self.top)).sum(-1, keepdim=True)

        span = math.isqrt(self.top) + 1
        block = passed(torch.arange(span - 1, self.top, span)) * span
        return (block + passed(block + torch.arange(span - 1))).squeeze(-1)

    def log_masses(self, centre: Tensor, scale: Tensor) -> Tensor:
        """(B, K, *S) -> (B, K, *S, levels): `log_mass` of every level; neighbours share the edge between them.

        With a the edge's distance, log F(a) = min(a, 0) - log(1 + exp(-|a|)), and log F(-a) alike.
        """
        sharp = torch.exp(-scale).reshape(-1, 1)
        edges = self.scaled(torch.arange(self.top, device=centre.device) + 0.5, centre)
        distance = (edges - centre.reshape(-1, 1)) * sharp  # (rows, levels - 1)
        soft = torch.log1p(torch.exp(-distance.abs()))
        log_mass = distance.new_zeros(len(distance), self.top + 1)
        log_mass[:, :-1] = distance.clamp(max=0) - soft
        log_mass[:, 1:] += (-distance).clamp(max=0) - soft
        log_mass[:, 1:-1] += torch.log(-torch.expm1(-2.0 / self.top * sharp))
        return log_mass.view(*centre.shape, -1)

    def log_mass(self, value: Tensor, centre: Tensor, scale: Tensor) -> Tensor:
        """(B, K, *S): log mass of a channel's scaled level under each logistic.

        With F the logistic function, F(a) - F(b) = F(a) F(-b) (1 - exp(b - a)): no cancellation, no special case in
        the tails, and the sum over levels telescopes to 1.
        """
        half = 1.0 / self.top
        value, sharp = value.unsqueeze(1), torch.exp(-scale)
        distance = (value - centre) * sharp
        width = half * sharp
        low, high = value < half - 1.0, value > 1.0 - half
        below = F.logsigmoid(distance + width).masked_fill(high, 0.0)
        above = F.logsigmoid(width - distance).masked_fill(low, 0.0)
        return below + above + torch.log(-torch.expm1(-2.0 * width)).masked_fill(low | high, 0.0)

    def sample(self, out: Tensor, draw: Draw = Draw()) -> Tensor:
        log_mass, mean, scale, coefficients = self.split(out)
        chosen = pick(log_mass.movedim(1, -1), draw).unsqueeze(1)
        value = torch.empty_like(mean[:, :, 0])
        for c in range(self.channels):
            centre = self.moved(c, mean, coefficients, value[:, :c]) if c else mean[:, 0]
            u = torch.rand_like(value[:, 0]).clamp(1e-7, 1 - 1e-7)
            spread = draw.temperature * scale[:, c].gather(1, chosen).squeeze(1).exp()
            drawn = centre.gather(1, chosen).squeeze(1) + spread * torch.logit(u)
            value[:, c] = self.scaled(self.rounded(drawn), drawn)
        return self.rounded(value)

    def rounded(self, value: Tensor) -> Tensor:
        """-1..1 -> int64 levels."""
        return ((value + 1.0) * (0.5 * self.top)).round().clamp(0, self.top).long()

    def mean(self, out: Tensor) -> Tensor:
        """Exact for one channel; channel c of several is at the expected values of the channels before it."""
        log_mass, mean, scale, coefficients = self.split(out)
        value = torch.empty_like(mean[:, :, 0])
        for c in range(self.channels):
            centre = self.moved(c, mean, coefficients, value[:, :c]) if c else mean[:, 0]
            sharp, expected = torch.exp(-scale[:, c]), torch.zeros_like(centre)
            for level in range(self.top):  # E x = sum of P(x > level)
                expected += torch.sigmoid((centre - ((2 * level + 1) / self.top - 1.0)) * sharp)
            value[:, c] = (log_mass.exp() * expected).sum(1) * (2.0 / self.top) - 1.0
        return (value + 1.0) * (0.5 * self.top)
