"""Residual blocks of dilated convolutions over sequences (Kalchbrenner et al. 2016, arXiv:1610.10099, figure 3).

Sequences are (B, T, C). A convolution of k taps is one product with the k shifted sequences side by side; one position
at a time, it is the same product with k rows of a queue of past inputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DilatedConv(nn.Module):
    """A convolution of `kernel` taps `dilation` positions apart; `causal`: none of them reads ahead."""

    def __init__(self, channels: int, *, kernel: int, dilation: int, causal: bool) -> None:
        super().__init__()
        self.reach, self.dilation, self.kernel = (kernel - 1) * dilation, dilation, kernel
        self.ahead = 0 if causal else self.reach // 2  # padding is zeros on the left alone, or on both sides
        self.taps = nn.Linear(kernel * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, C) to (B, T, C)."""
        length, padded = x.shape[1], F.pad(x, (0, 0, self.reach - self.ahead, self.ahead))  # (B, T + reach, C)
        # k sequences (B, T, C), the oldest tap first
        shifted = [padded[:, j * self.dilation : j * self.dilation + length] for j in range(self.kernel)]
        return self.taps(torch.cat(shifted, 2))  # type: ignore[no-any-return]

    def new_queue(self, n: int) -> Tensor:
        """Return (reach + 1, n, C) zeros: the past inputs of n sequences that a causal convolution reads."""
        weight = self.taps.weight
        return weight.new_zeros(self.reach + 1, n, weight.shape[0])

    def step(self, x: Tensor, queue: Tensor, t: int) -> Tensor:
        """Compute position t alone, (B, C) -> (B, C); x overwrites the oldest row of `queue`."""
        rows = len(queue)
        queue[t % rows] = x
        behind = (queue[(t - j * self.dilation) % rows] for j in range(self.kernel - 1, -1, -1))
        return self.taps(torch.cat(list(behind), 1))  # type: ignore[no-any-return]


class Block(nn.Module):
    """Residual block x + f(x): a projection to half the channels, the convolution, a projection back.

    Each is preceded by layer normalisation and ReLU. The last projection starts at 0: a new block is the identity.
    """

    def __init__(self, channels: int, *, kernel: int, dilation: int, causal: bool) -> None:
        super().__init__()
        half = channels // 2
        self.norms = nn.ModuleList([nn.LayerNorm(channels), nn.LayerNorm(half), nn.LayerNorm(half)])
        self.narrow, self.widen = nn.Linear(channels, half), nn.Linear(half, channels)
        self.conv = DilatedConv(half, kernel=kernel, dilation=dilation, causal=causal)
        nn.init.zeros_(self.widen.weight)
        nn.init.zeros_(self.widen.bias)

    def _before(self, x: Tensor) -> Tensor:
        return F.relu(self.norms[1](self.narrow(F.relu(self.norms[0](x)))))

    def _after(self, x: Tensor, h: Tensor) -> Tensor:
        return x + self.widen(F.relu(self.norms[2](h)))  # type: ignore[no-any-return]

    def forward(self, x: Tensor, inside: Tensor | None = None) -> Tensor:
        """Map (B, T, C) to (B, T, C); positions not `inside` (B, T, 1) count as padding."""
        h = self._before(x)  # (B, T, C / 2)
        return self._after(x, self.conv(h if inside is None else h * inside))

    def step(self, x: Tensor, queue: Tensor, t: int) -> Tensor:
        """Compute position t alone, (B, C) -> (B, C)."""
        return self._after(x, self.conv.step(self._before(x), queue, t))


class DilatedStack(nn.Module):
    """A stack of residual blocks, one for each of `dilations`."""

    def __init__(self, channels: int, *, kernel: int, dilations: Sequence[int], causal: bool) -> None:
        super().__init__()
        self.blocks = [Block(channels, kernel=kernel, dilation=d, causal=causal) for d in dilations]
        self.layers = nn.ModuleList(self.blocks)

    def forward(self, x: Tensor, inside: Tensor | None = None) -> Tensor:
        """Map (B, T, C) to (B, T, C); positions not `inside` (B, T, 1) count as padding."""
        for block in self.blocks:
            x = block(x, inside)
        return x

    def new_queues(self, n: int) -> list[Tensor]:
        """Return an empty queue for each block, for `step`."""
        return [block.conv.new_queue(n) for block in self.blocks]

    def step(self, x: Tensor, queues: list[Tensor], t: int) -> Tensor:
        """Compute position t alone, (B, C) -> (B, C), of causal blocks; every position costs the same."""
        for block, queue in zip(self.blocks, queues, strict=True):
            x = block.step(x, queue, t)
        return x
