"""Diagonal Gaussian latents: sampling, KL divergence, free bits, KL annealing."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from genfoundry.types import Clock

MIN_LOG_STD, MAX_LOG_STD = -7.0, 0.0  # a posterior wider than its prior would draw codes that were never decoded
MAX_MEAN = 8.0  # in standard deviations of the prior, of whose draws one in 10^15 lies beyond


@dataclass(frozen=True)
class Normal:
    """Independent normals: `mean` and `scale`, the log standard deviation, of one shape (B, K, ...)."""

    mean: Tensor
    scale: Tensor

    @classmethod
    def from_output(cls, out: Tensor) -> Normal:
        """Split a network's output (B, 2K, ...) into means and log standard deviations (B, K, ...), in float32.

        Means are bounded by `MAX_MEAN` and standard deviations by 1, whatever the network makes of an unusual item: a
        code costs at most MAX_MEAN^2 / 2 - MIN_LOG_STD = 39 nats against a standard prior.
        """
        mean, scale = out.float().chunk(2, dim=1)
        # tanh, not a clamp: a mean keeps a gradient at its bound
        return cls(MAX_MEAN * torch.tanh(mean / MAX_MEAN), scale.clamp(MIN_LOG_STD, MAX_LOG_STD))

    @classmethod
    def standard(cls, like: Tensor) -> Normal:
        """Return N(0, I) of the shape of `like`."""
        return cls(torch.zeros_like(like), torch.zeros_like(like))

    def sample(self, temperature: float = 1.0) -> Tensor:
        """Draw a reparametrised sample with the global generator."""
        return self.mean + temperature * self.scale.exp() * torch.randn_like(self.mean)  # temperature 0: the mean

    def log_prob(self, z: Tensor) -> Tensor:
        """Return the log density of each value of z."""
        return -0.5 * ((z - self.mean) * (-self.scale).exp()).square() - self.scale - 0.5 * math.log(2 * math.pi)


@dataclass(frozen=True)
class Latent:
    """The latents of one level: posterior q, prior p, and a draw z from q."""

    q: Normal
    p: Normal
    z: Tensor

    def kl(self) -> Tensor:
        """Return KL(q || p) in nats, one value a latent."""
        return kl_divergence(self.q, self.p)


def kl_divergence(q: Normal, p: Normal) -> Tensor:
    """Return KL(q || p) in nats in closed form, one value a latent (B, K, ...)."""
    width, shift = q.scale - p.scale, (q.mean - p.mean) * (-p.scale).exp()
    return 0.5 * ((2 * width).exp() + shift.square() - 1.0) - width


def apply_free_bits(kl: Tensor, free_bits: float) -> Tensor:
    """Average (B, K, ...) over the batch, raise each latent's KL to at least `free_bits` bits, and sum to a scalar.

    Kingma et al. 2016 (arXiv:1606.04934), with one latent a group.
    """
    mean = kl.mean(0)  # (K, ...)
    return mean.clamp_min(free_bits * math.log(2)).sum() if free_bits > 0 else mean.sum()  # from bits to nats


def kl_weight(clock: Clock, share: float) -> float:
    """Return the weight of the KL term: linear from 0 to 1 over the first `share` of the phase."""
    return min(1.0, (clock.step + 1) / (share * clock.total)) if share > 0 else 1.0
