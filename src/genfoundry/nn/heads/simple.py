"""Bernoulli, categorical and Gaussian output heads, and the choice among heads by the data's spec."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from genfoundry.nn.heads.base import Head, upcast
from genfoundry.nn.heads.categorical_sampling import sample_categorical
from genfoundry.nn.heads.logistic_mixture import LogisticMixture
from genfoundry.types import Draw, Spec


@dataclass(frozen=True)
class Bernoulli(Head):
    """Levels 0 and 1; `out` is the logit of 1."""

    levels: int | None = 2

    @property
    def parameters(self) -> int:
        return self.channels

    def nll_per_value(self, out: Tensor, x: Tensor) -> Tensor:
        out = upcast(out)
        return F.binary_cross_entropy_with_logits(out, x.to(out.dtype), reduction="none")

    def channel_log_probs(self, out: Tensor, x: Tensor, channel: int) -> Tensor:
        logit = upcast(out[:, channel])  # (B, *S)
        return F.logsigmoid(torch.stack([-logit, logit], -1))  # (B, *S, 2)

    def sample(self, out: Tensor, draw: Draw = Draw()) -> Tensor:
        if draw.temperature <= 0:
            return (out > 0).long()
        return torch.bernoulli(torch.sigmoid(out.float() / draw.temperature)).long()

    def mean(self, out: Tensor) -> Tensor:
        return torch.sigmoid(out.float())


@dataclass(frozen=True)
class Categorical(Head):
    """A free probability for each level; `out` is (B, C * levels, *S) logits, a channel's levels together."""

    levels: int | None = 256

    @property
    def parameters(self) -> int:
        return self.channels * (self.levels or 0)

    def logits(self, out: Tensor) -> Tensor:
        """Return (B, C, *S, levels)."""
        return upcast(out).reshape(len(out), self.channels, -1, *out.shape[2:]).movedim(2, -1)

    def nll_per_value(self, out: Tensor, x: Tensor) -> Tensor:
        logits = self.logits(out)
        selected = logits.gather(-1, x.long().unsqueeze(-1)).squeeze(-1)  # (B, C, *S)
        return logits.logsumexp(-1) - selected

    def channel_log_probs(self, out: Tensor, x: Tensor, channel: int) -> Tensor:
        return self.logits(out)[:, channel].log_softmax(-1)

    def sample(self, out: Tensor, draw: Draw = Draw()) -> Tensor:
        return sample_categorical(self.logits(out), draw)

    def mean(self, out: Tensor) -> Tensor:
        mass = self.logits(out).softmax(-1)  # (B, C, *S, levels)
        return mass @ torch.arange(mass.shape[-1], dtype=mass.dtype, device=mass.device)  # (B, C, *S)


@dataclass(frozen=True)
class Gaussian(Head):
    """Real values; `out` is (B, 2C, *S): means, then log standard deviations, which are kept in [-7, 7]."""

    levels: int | None = None

    @property
    def parameters(self) -> int:
        return 2 * self.channels

    def split(self, out: Tensor) -> tuple[Tensor, Tensor]:
        """Return means and log standard deviations, (B, C, *S) each."""
        mean, scale = upcast(out).chunk(2, dim=1)  # (B, C, *S) each
        return mean, scale.clamp(-7.0, 7.0)

    def nll_per_value(self, out: Tensor, x: Tensor) -> Tensor:
        mean, scale = self.split(out)
        return 0.5 * ((x - mean) * (-scale).exp()).square() + scale + 0.5 * math.log(2 * math.pi)

    def sample(self, out: Tensor, draw: Draw = Draw()) -> Tensor:
        mean, scale = self.split(out)
        return mean + draw.temperature * scale.exp() * torch.randn_like(mean)

    def mean(self, out: Tensor) -> Tensor:
        return self.split(out)[0]


def head_for(spec: Spec, mixtures: int = 5) -> Head:
    """Return the head of an image: Gaussian for reals, Bernoulli for 2 levels, logistic mixture for more."""
    channels = spec.shape[0]
    if spec.levels is None:
        return Gaussian(channels)
    return Bernoulli(channels) if spec.levels == 2 else LogisticMixture(channels, spec.levels, mixtures)
