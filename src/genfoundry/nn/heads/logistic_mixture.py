"""Discretised logistic mixture: the output head of ordered levels (PixelCNN++)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from genfoundry.nn.heads.base import Head, upcast
from genfoundry.nn.heads.categorical_sampling import sample_categorical
from genfoundry.types import Draw

MIN_LOG_SCALE, MAX_LOG_SCALE = -7.0, 7.0  # the levels' range is 2; at 7 all but 0.05% of the mass lies beyond it
NEAR = 20  # in scales; the mass of a logistic farther from its mean is 2e-9


@dataclass(frozen=True)
class LogisticMixture(Head):
    """Mixture of discretised logistics (Salimans et al. 2017, arXiv:1701.05517), for ordered levels.

    Levels are scaled to [-1, 1]. A level has the logistic's mass within half a step of it; the lowest and the highest
    also have the tails. A component is chosen once a position; the mean of its channel c depends linearly on the values
    of the channels before c. `out` is, per component: 1 weight, C means, C log scales, C(C-1)/2 coefficients.
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
        """Return log weights; means and log scales a channel, (B, K, *S) each; coefficients (B, C(C-1)/2, K, *S)."""
        out = upcast(out).contiguous()  # in channels-last memory the slices below would not be vectorised
        out, c = out.view(len(out), -1, self.mixtures, *out.shape[2:]), self.channels  # (B, 1 + 2C + C(C-1)/2, K, *S)
        weight, *parts, coefficients = torch.split(out, [1] * (1 + 2 * c) + [c * (c - 1) // 2], 1)
        parts = [part.squeeze(1) for part in parts]
        scales = [s.clamp(MIN_LOG_SCALE, MAX_LOG_SCALE) for s in parts[c:]]
        return weight.squeeze(1).log_softmax(1), parts[:c], scales, coefficients

    def scale_levels(self, x: Tensor, like: Tensor) -> Tensor:
        """Map levels to [-1, 1], in the type of `like`."""
        return x.to(like.dtype) * (2.0 / self.top) - 1.0

    def conditional_means(self, c: int, means: list[Tensor], coefficients: Tensor, value: Tensor) -> Tensor:
        """Return (B, K, *S): channel c's means given the scaled values (B, C, *S) of the channels before it."""
        if c == 0:
            return means[0]
        first = c * (c - 1) // 2
        return means[c] + (torch.tanh(coefficients[:, first : first + c]) * value[:, :c].unsqueeze(2)).sum(1)

    def nll_per_value(self, out: Tensor, x: Tensor) -> Tensor:
        log_mass, mean, scale, coefficients = self.split(out)
        value, cumulative = self.scale_levels(x, log_mass), []
        for c in range(self.channels):
            centre = self.conditional_means(c, mean, coefficients, value)
            log_mass = log_mass + self.log_mass(value[:, c], centre, scale[c])
            cumulative.append(log_mass.logsumexp(1))  # (B, *S)
        joint = torch.stack(cumulative, 1)  # (B, C, *S): log p of a channel and those before it
        return -torch.cat([joint[:, :1], joint.diff(dim=1)], 1) if self.channels > 1 else -joint

    def nll(self, out: Tensor, x: Tensor) -> Tensor:
        log_mass, mean, scale, coefficients = self.split(out)
        value = self.scale_levels(x, log_mass)
        for c in range(self.channels):
            centre = self.conditional_means(c, mean, coefficients, value)
            log_mass = log_mass + self.log_mass(value[:, c], centre, scale[c])
        return -log_mass.logsumexp(1).flatten(1).sum(1)  # (B, K, *S) -> (B,)

    def condition(self, out: Tensor, x: Tensor, channel: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return (B, K, *S) each: log weights, means, log scales of a channel, given the channels of x before it."""
        log_mass, mean, scale, coefficients = self.split(out)
        value = self.scale_levels(x, log_mass)
        for c in range(channel):  # the channels before it change the weights of the components
            centre = self.conditional_means(c, mean, coefficients, value)
            log_mass = log_mass + self.log_mass(value[:, c], centre, scale[c])
        centre = self.conditional_means(channel, mean, coefficients, value)
        return log_mass.log_softmax(1) if channel else log_mass, centre, scale[channel]

    def channel_log_probs(self, out: Tensor, x: Tensor, channel: int) -> Tensor:
        log_mass, centre, scale = self.condition(out, x, channel)
        return (log_mass.unsqueeze(-1) + self.log_masses(centre, scale)).logsumexp(1)  # (B, *S, levels)

    def sample_channel(self, out: Tensor, x: Tensor, channel: int, draw: Draw) -> Tensor:
        """Draw as every head does, but without a table of all levels unless `draw` changes their mass.

        The level is the number of edges at which the distribution function F is at most u: inverse-CDF sampling, by a
        search among every `span`-th edge, then among the edges between two of these.
        """
        if draw != Draw() or out.device.type != "cpu":
            return super().sample_channel(out, x, channel, draw)
        log_mass, centre, scale = (part.movedim(1, -1).unsqueeze(-2) for part in self.condition(out, x, channel))
        mass, sharp = log_mass.exp(), torch.exp(-scale)  # (B, *S, 1, K)
        u = torch.rand(*mass.shape[:-2], 1, dtype=torch.float64)  # the numbers `sample_categorical` draws

        def count_passed(edge: Tensor) -> Tensor:
            """Return (B, *S, 1): at how many of the edges (..., E) F is at most u; past the last edge F is 1."""
            distance = (self.scale_levels(edge + 0.5, centre).unsqueeze(-1) - centre) * sharp
            return (((torch.sigmoid(distance) * mass).sum(-1) <= u) & (edge < self.top)).sum(-1, keepdim=True)

        span = math.isqrt(self.top) + 1  # about sqrt(levels): fewest edges in all
        block = count_passed(torch.arange(span - 1, self.top, span)) * span
        return (block + count_passed(block + torch.arange(span - 1))).squeeze(-1)

    def log_masses(self, centre: Tensor, scale: Tensor) -> Tensor:
        """Return (B, K, *S, levels): `log_mass` of every level; neighbours share the edge between them.

        With a the edge's distance, log F(a) = min(a, 0) - log(1 + exp(-|a|)), and log F(-a) alike.
        """
        sharp = torch.exp(-scale).reshape(-1, 1)
        edges = self.scale_levels(torch.arange(self.top, device=centre.device) + 0.5, centre)
        distance = (edges - centre.reshape(-1, 1)) * sharp  # (rows, levels - 1)
        soft = torch.log1p(torch.exp(-distance.abs()))  # the part that log F(a) and log F(-a) share
        log_mass = distance.new_zeros(len(distance), self.top + 1)  # (rows, levels)
        log_mass[:, :-1] = distance.clamp(max=0) - soft  # log F at the edge above
        log_mass[:, 1:] += (-distance).clamp(max=0) - soft  # log (1 - F) at the edge below
        # Inner levels: F(b) - F(a) = F(b) F(-a) (1 - exp(a - b))
        log_mass[:, 1:-1] += torch.log(-torch.expm1(-2.0 / self.top * sharp))
        return log_mass.view(*centre.shape, -1)

    def log_mass(self, value: Tensor, centre: Tensor, scale: Tensor) -> Tensor:
        """Return (B, K, *S): log mass of a channel's scaled level (B, *S) under each logistic."""
        mass: Tensor = LogMass.apply(value.unsqueeze(1), centre, scale, 1.0 / self.top)  # type: ignore[no-untyped-call]
        return mass

    def sample(self, out: Tensor, draw: Draw = Draw()) -> Tensor:
        log_mass, mean, scale, coefficients = self.split(out)
        component = sample_categorical(log_mass.movedim(1, -1), draw).unsqueeze(1)  # (B, 1, *S)
        value = log_mass.new_empty(len(out), self.channels, *out.shape[2:])
        for c in range(self.channels):
            centre = self.conditional_means(c, mean, coefficients, value)
            u = torch.rand_like(value[:, 0]).clamp(1e-7, 1 - 1e-7)  # the logistic's quantiles are finite
            spread = draw.temperature * scale[c].gather(1, component).squeeze(1).exp()
            # Inverse-CDF sampling: logit is the inverse of the distribution function
            sampled = centre.gather(1, component).squeeze(1) + spread * torch.logit(u)
            value[:, c] = self.scale_levels(self.round_levels(sampled), sampled)
        return self.round_levels(value)

    def round_levels(self, value: Tensor) -> Tensor:
        """Map [-1, 1] to the nearest int64 levels."""
        return ((value + 1.0) * (0.5 * self.top)).round().clamp(0, self.top).long()

    def mean(self, out: Tensor) -> Tensor:
        """Return the expected value, exact for one channel; of several, each at the means of those before it."""
        log_mass, mean, scale, coefficients = self.split(out)
        value = log_mass.new_empty(len(out), self.channels, *out.shape[2:])
        for c in range(self.channels):
            centre = self.conditional_means(c, mean, coefficients, value)
            expected = expected_level(0.5 * self.top * (centre + 1.0), 0.5 * self.top * scale[c].exp(), self.top)
            value[:, c] = (log_mass.exp() * expected).sum(1) * (2.0 / self.top) - 1.0
        return (value + 1.0) * (0.5 * self.top)


def expected_level(mean: Tensor, scale: Tensor, edges: int) -> Tensor:
    """Return the expected level of a discretised logistic: the sum of P(x > e) over the edges e = 1/2, 3/2, ...

    From a scale of one level on the sum is the integral from 0 to `edges` and the Euler-Maclaurin corrections of the
    midpoint rule at its ends (within 2e-5 levels); below it, all but the few edges at the mean count 0 or 1.
    """
    upper, lower = mean / scale, (mean - edges) / scale
    broad = torch.log1p(torch.sigmoid(lower) * torch.expm1(edges / scale))  # there, the other form cancels
    expected = scale * torch.where(scale > 0.25 * edges, broad, F.softplus(upper) - F.softplus(lower))
    for z, sign in ((lower, 1.0), (upper, -1.0)):
        slope = torch.sigmoid(z) * torch.sigmoid(
            -z
        )  # of the logistic function; its third derivative is slope (1 - 6 slope)
        expected += sign * slope * (1 / (24 * scale) - 7 / 5760 * (1 - 6 * slope) / scale**3)
    narrow = scale < 1.0  # there, sum over the edges near the mean
    mean, scale = mean[narrow, None], scale[narrow, None]
    near = mean.floor() + torch.arange(-NEAR, NEAR, device=mean.device)  # (N, 2 NEAR)
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
