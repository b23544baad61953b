"""Diagonal Gaussians over codes: drawing, divergence, annealing."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from genfoundry.types import Clock

NARROW, WIDE = -7.0, 0.0  # log standard deviations: what is wider than its prior draws what was never decoded
FAR = 8.0  # a mean's bound, in deviations of the prior: of its draws one in 10^15 is out there


@dataclass(frozen=True)
class Normal:
    """Independent normals: `mean` and `scale`, the log standard deviation, of one shape (B, K, ...)."""

    mean: Tensor
    scale: Tensor

    @classmethod
    def of(cls, out: Tensor) -> Normal:
        """(B, 2K, ...) network output -> (B, K, ...), in float32.

        Means stay within `FAR` and deviations within 1, whatever the network makes of an item that is unlike all that
        it was trained on: a code is at most FAR^2 / 2 - NARROW = 39 nats away from a standard prior.
        """
        mean, scale = out.float().chunk(2, dim=1)
        return cls(FAR * torch.tanh(mean / FAR), scale.clamp(NARROW, WIDE))

    @classmethod
    def standard(cls, like: Tensor) -> Normal:
        """N(0, I) of the shape of `like`."""
        return cls(torch.zeros_like(like), torch.zeros_like(like))

    def draw(self, temperature: float = 1.0) -> Tensor:
        """A reparametrised sample, drawn with the global generator."""
        return self.mean + temperature * self.scale.exp() * torch.randn_like(self.mean)

    def log(self, z: Tensor) -> Tensor:
        """Log density of each value of z."""
        return -0.5 * ((z - self.mean) * (-self.scale).exp()).square() - self.scale - 0.5 * math.log(2 * math.pi)


@dataclass(frozen=True)
class Code:
    """A level's codes: their posterior, their prior, a draw of the posterior."""

    q: Normal
    p: Normal
    z: Tensor

    def divergence(self) -> Tensor:
        """KL(q || p) in nats, a value a code."""
        return divergence(self.q, self.p)


def divergence(q: Normal, p: Normal) -> Tensor:
    """KL(q || p) in nats, a value a code (B, K, ...), in closed form."""
    width, shift = q.scale - p.scale, (q.mean - p.mean) * (-p.scale).exp()
    return 0.5 * ((2 * width).exp() + shift.square() - 1.0) - width


def floored(kl: Tensor, free_bits: float) -> Tensor:
    """Scalar: mean over the batch of the summed divergence, of which `free_bits` bits a code cost nothing.

    The floor is on each code's batch mean (Kingma et al. 2016, arXiv:1606.04934, with one code a group).
    """
    mean = kl.mean(0)
    return mean.clamp_min(free_bits * math.log(2)).sum() if free_bits > 0 else mean.sum()


def anneal(clock: Clock, share: float) -> float:
    """The weight of the divergence: 0 to 1 over the first `share` of the phase."""
    return min(1.0, (clock.step + 1) / (share * clock.total)) if share > 0 else 1.0
