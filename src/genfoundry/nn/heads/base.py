"""The interface of output heads: what a network's last layer means as a distribution over `Batch.x`.

A head is no module and has no weights. `out` is (B, head.parameters, *S) and `x` is (B, C, *S), where S are the
positions: H, W of an image, T of a text with C = 1. Channels of one position may depend on each other; positions are
independent given `out`. Everything is computed in float32, also under autocast, and in float64 if `out` is float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from genfoundry.nn.heads.categorical_sampling import sample_categorical
from genfoundry.types import Draw


def upcast(x: Tensor) -> Tensor:
    """Return x in float32; float64 stays as it is."""
    return x if x.dtype == torch.float64 else x.float()


@dataclass(frozen=True)
class Head:
    """A distribution over `channels` values a position; `levels` is None for real values."""

    channels: int
    levels: int | None

    @property
    def parameters(self) -> int:
        """Number of the network's output channels."""
        raise NotImplementedError

    def nll(self, out: Tensor, x: Tensor) -> Tensor:
        """Return (B,) nats: -log p(x | out), summed over channels and positions."""
        return self.nll_per_value(out, x).flatten(1).sum(1)  # (B, C, *S) -> (B,)

    def nll_per_value(self, out: Tensor, x: Tensor) -> Tensor:
        """Return (B, C, *S): -log p of each value, given the channels before it at its position."""
        raise NotImplementedError

    def channel_log_probs(self, out: Tensor, x: Tensor, channel: int) -> Tensor:
        """Return (B, *S, levels) log-probabilities of a channel's levels, given the channels of x before it."""
        raise NotImplementedError

    def sample_channel(self, out: Tensor, x: Tensor, channel: int, draw: Draw) -> Tensor:
        """Draw (B, *S) int64 levels of a channel, given the channels of x before it; one uniform number each."""
        return sample_categorical(self.channel_log_probs(out, x, channel), draw)

    def log_probs(self, out: Tensor, x: Tensor) -> Tensor:
        """Return (B, C, *S, levels): every level of every value, given the channels before it at its position."""
        return torch.stack([self.channel_log_probs(out, x, channel) for channel in range(self.channels)], 1)

    def sample(self, out: Tensor, draw: Draw = Draw()) -> Tensor:
        """Draw (B, C, *S) in the range of `Batch.x`, with the global generator."""
        raise NotImplementedError

    def mean(self, out: Tensor) -> Tensor:
        """Return (B, C, *S) float32: the expected value of x, in the units of x."""
        raise NotImplementedError
