"""Output of autoregressive image models: features of a pixel -> its channels, each given those before it."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genfoundry.nn.heads.base import Head
from genfoundry.nn.heads.logistic_mixture import LogisticMixture
from genfoundry.nn.heads.simple import Bernoulli, Categorical
from genfoundry.types import Draw, Spec

MAX_CATEGORICAL = 32  # levels up to which each has a free probability


class PixelReadout(nn.Module):
    """Features (B, *S, width) and the values of the pixels (B, *S, C), channels last -> a distribution of the values.

    2 levels: Bernoulli; up to 32: a free probability for each level; more: a mixture of discretised logistics, whose
    channels depend on each other as in PixelCNN++ (Salimans et al. 2017, arXiv:1701.05517). The other heads take one
    channel at a time, and the network that gives their parameters reads the channels before it.
    """

    def __init__(self, spec: Spec, width: int, mixtures: int) -> None:
        super().__init__()
        assert spec.levels is not None
        self.channels, self.top = spec.shape[0], spec.levels - 1
        self.head: Head = LogisticMixture(self.channels, spec.levels, mixtures)
        if spec.levels <= MAX_CATEGORICAL:
            self.head = Bernoulli(1) if spec.levels == 2 else Categorical(1, spec.levels)
        blocks = self.channels // self.head.channels  # each is one draw of the head
        self.hidden = nn.Linear(width, width)
        self.told = nn.ModuleList(nn.Linear(c, width, bias=False) for c in range(1, blocks))
        self.last = nn.ModuleList(nn.Linear(width, self.head.parameters) for _ in range(blocks))

    def scale_levels(self, x: Tensor) -> Tensor:
        """Map levels to [-1, 1], in the type of the weights."""
        return x.to(self.hidden.weight.dtype) * (2.0 / self.top) - 1.0  # the highest level is 1

    def _block_parameters(self, hidden: Tensor, x: Tensor, block: int) -> Tensor:
        """Return the head's parameters (B, P, *S) of a block of channels, given the channels of x before it."""
        if block:
            hidden = hidden + self.told[block - 1](self.scale_levels(x[..., :block]))
        return cast("Tensor", self.last[block](F.silu(hidden))).movedim(-1, 1)

    def _blocks(self, features: Tensor, x: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return of each block of channels: the head's parameters (B, P, *S), and its values (B, c, *S)."""
        hidden, values = self.hidden(F.silu(features)), torch.split(x.movedim(-1, 1), self.head.channels, 1)
        return [(self._block_parameters(hidden, x, block), part) for block, part in enumerate(values)]

    def nll(self, features: Tensor, x: Tensor) -> Tensor:
        """Return (B,) nats."""
        return torch.stack([self.head.nll(out, values) for out, values in self._blocks(features, x)]).sum(0)

    def log_probs(self, features: Tensor, x: Tensor) -> Tensor:
        """Return (B, C, *S, levels)."""
        return torch.cat([self.head.log_probs(out, values) for out, values in self._blocks(features, x)], 1)

    def nll_per_value(self, features: Tensor, x: Tensor) -> Tensor:
        """Return (B, C, *S): -log p of each value."""
        return torch.cat([self.head.nll_per_value(out, values) for out, values in self._blocks(features, x)], 1)

    def sample_channel(self, features: Tensor, x: Tensor, channel: int, draw: Draw) -> Tensor:
        """Draw (n,) levels of one pixel's channel, given the channels of x (n, C) before it."""
        block, within = divmod(channel, self.head.channels)
        start = block * self.head.channels
        out = self._block_parameters(self.hidden(F.silu(features)), x, block)  # (n, P)
        return self.head.sample_channel(out, x[:, start : start + self.head.channels], within, draw)
