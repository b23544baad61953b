"""The discretised logistic mixture: the head of ordered levels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from genfoundry.nn.heads.base import Head, wide
from genfoundry.nn.heads.categorical_sampling import sample_categorical
from genfoundry.types import Draw

NARROW, WIDE = -7.0, 7.0  # log scales; the levels' range is 2, and at 7 all but 0.05% of the mass lies beyond it
NEAR = 20  # scales from its mean, a logistic's mass beyond is 2e-9


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

    def split(self, out: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor], Tensor]:
        """Log weights (B, K, *S); a channel's means and log scales (B, K, *S); coefficients (B, C(C-1)/2, K, *S)."""
        out = wide(out).contiguous()  # channels last, the slices below would have strides that no loop vectorises
        out, c = out.view(len(out), -1, self.mixtures, *out.shape[2:]), self.channels
        weight, *each, coefficients = torch.split(out, [1] * (1 + 2 * c) + [c * (c - 1) // 2], 1)
        each = [part.squeeze(1) for part in each]
        return weight.squeeze(1).log_softmax(1), each[:c], [s.clamp(NARROW, WIDE) for s in each[c:]], coefficients

    def scaled(self, x: Tensor, like: Tensor) -> Tensor:
        """Levels -> -1..1, in the type of `like`."""
        return x.to(like.dtype) * (2.0 / self.top) - 1.0

    def centre(self, c: int, means: list[Tensor], coefficients: Tensor, value: Tensor) -> Tensor:
        """(B, K, *S): channel c's means given the scaled values (B, C, *S) of the channels before it."""
        if c == 0:
            return means[0]
        first = c * (c - 1) // 2
        return means[c] + (torch.tanh(coefficients[:, first : first + c]) * value[:, :c].unsqueeze(2)).sum(1)

    def nll_per_value(self, out: Tensor, x: Tensor) -> Tensor:
        log_mass, mean, scale, coefficients = self.split(out)
        value, each = self.scaled(x, log_mass), []
        for c in range(self.channels):
            centre = self.centre(c, mean, coefficients, value)
            log_mass = log_mass + self.log_mass(value[:, c], centre, scale[c])
            each.append(log_mass.logsumexp(1))
        so_far = torch.stack(each, 1)  # log p of a channel and those before it
        return -torch.cat([so_far[:, :1], so_far.diff(dim=1)], 1) if self.channels > 1 else -so_far

    def nll(self, out: Tensor, x: Tensor) -> Tensor:
        log_mass, mean, scale, coefficients = self.split(out)
        value = self.scaled(x, log_mass)
        for c in range(self.channels):
            centre = self.centre(c, mean, coefficients, value)
            log_mass = log_mass + self.log_mass(value[:, c], centre, scale[c])
        return -log_mass.logsumexp(1).flatten(1).sum(1)

    def given(self, out: Tensor, x: Tensor, channel: int) -> tuple[Tensor, Tensor, Tensor]:
        """(B, K, *S) each: log weights, means and log scales of a channel, given the channels of x before it."""
        log_mass, mean, scale, coefficients = self.split(out)
        value = self.scaled(x, log_mass)
        for c in range(channel):  # what the channels before say about the component
            centre = self.centre(c, mean, coefficients, value)
            log_mass = log_mass + self.log_mass(value[:, c], centre, scale[c])
        centre = self.centre(channel, mean, coefficients, value)
        return log_mass.log_softmax(1) if channel else log_mass, centre, scale[channel]

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
        """(B, K, *S): log mass of a channel's scaled level (B, *S) under each logistic."""
        mass: Tensor = LogMass.apply(value.unsqueeze(1), centre, scale, 1.0 / self.top)  # type: ignore[no-untyped-call]
        return mass

    def sample(self, out: Tensor, draw: Draw = Draw()) -> Tensor:
        log_mass, mean, scale, coefficients = self.split(out)
        chosen = sample_categorical(log_mass.movedim(1, -1), draw).unsqueeze(1)
        value = log_mass.new_empty(len(out), self.channels, *out.shape[2:])
        for c in range(self.channels):
            centre = self.centre(c, mean, coefficients, value)
            u = torch.rand_like(value[:, 0]).clamp(1e-7, 1 - 1e-7)
            spread = draw.temperature * scale[c].gather(1, chosen).squeeze(1).exp()
            drawn = centre.gather(1, chosen).squeeze(1) + spread * torch.logit(u)
            value[:, c] = self.scaled(self.rounded(drawn), drawn)
        return self.rounded(value)

    def rounded(self, value: Tensor) -> Tensor:
        """-1..1 -> int64 levels."""
        return ((value + 1.0) * (0.5 * self.top)).round().clamp(0, self.top).long()

    def mean(self, out: Tensor) -> Tensor:
        """Exact for one channel; channel c of several is at the expected values of the channels before it."""
        log_mass, mean, scale, coefficients = self.split(out)
        value = log_mass.new_empty(len(out), self.channels, *out.shape[2:])
        for c in range(self.channels):
            centre = self.centre(c, mean, coefficients, value)
            expected = counted(0.5 * self.top * (centre + 1.0), 0.5 * self.top * scale[c].exp(), self.top)
            value[:, c] = (log_mass.exp() * expected).sum(1) * (2.0 / self.top) - 1.0
        return (value + 1.0) * (0.5 * self.top)


def counted(mean: Tensor, scale: Tensor, edges: int) -> Tensor:
    """The expected level of a logistic in units of levels: the sum of P(x > e) over the edges e = 1/2, 3/2, ...

    From a scale of one level on the sum is the integral from 0 to `edges` and the Euler-Maclaurin corrections of the
    midpoint rule at its ends (within 2e-5 levels); below it, all but the few edges at the mean count 0 or 1.
    """
    upper, lower = mean / scale, (mean - edges) / scale
    broad = torch.log1p(torch.sigmoid(lower) * torch.expm1(edges / scale))  # of which the other is a small difference
    expected = scale * torch.where(scale > 0.25 * edges, broad, F.softplus(upper) - F.softplus(lower))
    for z, sign in ((lower, 1.0), (upper, -1.0)):
        slope = torch.sigmoid(z) * torch.sigmoid(-z)  # of the logistic function; its third is slope (1 - 6 slope)
        expected += sign * slope * (1 / (24 * scale) - 7 / 5760 * (1 - 6 * slope) / scale**3)
    narrow = scale < 1.0
    mean, scale = mean[narrow, None], scale[narrow, None]
    near = mean.floor() + torch.arange(-NEAR, NEAR, device=mean.device)
    seen = torch.sigmoid((mean - near - 0.5) / scale) * ((near >= 0) & (near < edges))
    expected[narrow] = near[:, 0].clamp(0, edges) + seen.sum(1)
    return expected


class LogMass(torch.autograd.Function):
    """log(F(a) - F(-b)) with a, b the scaled distances of a level's edges from the mean; its gradient in closed form.

    F(a) - F(-b) = F(a) F(b) (1 - exp(-a - b)): no cancellation, no special case in the tails, and the sum over levels
    telescopes to 1. The lowest level has no lower edge, F(b) = 1; the highest no upper one, F(a) = 1.
    """

    @staticmethod
    def forward(ctx: Any, value: Tensor, centre: Tensor, scale: Tensor, half: float) -> Tensor:
        """`value` (B, 1, *S) in -1..1; `centre`, `scale` (B, K, *S); `half` the width of half a level."""
        low, high = value >= half - 1.0, value <= 1.0 - half  # which have such an edge
        sharp = torch.exp(-scale)
        distance, width = (value - centre) * sharp, half * sharp
        a, b = distance + width, width - distance
        log_mass = F.logsigmoid(a).mul_(high).add_(F.logsigmoid(b).mul_(low))
        inside = torch.expm1(-2.0 * width)
        log_mass.add_(torch.where(low & high, inside.neg().log_(), 0.0))
        ctx.save_for_backward(sharp, distance, width, a, b, inside, low, high)
        return log_mass

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, Tensor, None]:
        sharp, distance, width, a, b, inside, low, high = ctx.saved_tensors
        above, below = torch.sigmoid(-a).mul_(high), torch.sigmoid(-b).mul_(low)  # d log F(a) / da, and of b
        by_distance = above - below
        # With a and b the mass between the edges widens: d log(1 - exp(-2 w)) / dw = 2 exp(-2 w) / (1 - exp(-2 w))
        by_width = above.add_(below).sub_(torch.where(low & high, 2.0 * (inside + 1.0) / inside, 0.0))
        by_scale = by_distance.mul(distance).add_(by_width.mul_(width)).mul_(gradient).neg_()
        return None, by_distance.mul_(sharp).mul_(gradient).neg_(), by_scale, None
