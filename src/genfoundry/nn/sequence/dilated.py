"""Residual blocks of dilated convolutions over sequences (Kalchbrenner et al. 2016, arXiv:1610.10099, figure 3).

Sequences are (B, T, C): a convolution of k taps is one product of the k shifted sequences, side by side, which costs
the same for a whole sequence and, a tap a queue's row, for one position after another.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Dilated(nn.Module):
    """A convolution of `kernel` taps `dilation` positions apart; `causal`: none of them ahead."""

    def __init__(self, channels: int, *, kernel: int, dilation: int, causal: bool) -> None:
        super().__init__()
        self.reach, self.dilation, self.kernel = (kernel - 1) * dilation, dilation, kernel
        self.ahead = 0 if causal else self.reach // 2  # padding is zeros on the left alone, or on both sides
        self.taps = nn.Linear(kernel * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        length, padded = x.shape[1], F.pad(x, (0, 0, self.reach - self.ahead, self.ahead))
        shifted = [padded[:, j * self.dilation : j * self.dilation + length] for j in range(self.kernel)]
        return self.taps(torch.cat(shifted, 2))  # type: ignore[no-any-return]

    def queue(self, n: int) -> Tensor:
        """(reach + 1, n, C) zeros: what a causal convolution remembers of the n sequences' past."""
        weight = self.taps.weight
        return weight.new_zeros(self.reach + 1, n, weight.shape[0])

    def step(self, x: Tensor, queue: Tensor, t: int) -> Tensor:
        """Position t alone, (B, C) -> (B, C); `queue` takes x in, in place of what is no longer looked at."""
        rows = len(queue)
        queue[t % rows] = x
        behind = (queue[(t - j * self.dilation) % rows] for j in range(self.kernel - 1, -1, -1))
        return self.taps(torch.cat(list(behind), 1))  # type: ignore[no-any-return]


class Block(nn.Module):
    """x + f(x): normalised and rectified before a product to half the channels, the convolution, and one back.

    The last product starts at 0: a new block is the identity.
    """

    def __init__(self, channels: int, *, kernel: int, dilation: int, causal: bool) -> None:
        super().__init__()
        half = channels // 2
        self.norms = nn.ModuleList([nn.LayerNorm(channels), nn.LayerNorm(half), nn.LayerNorm(half)])
        self.narrow, self.widen = nn.Linear(channels, half), nn.Linear(half, channels)
        self.conv = Dilated(half, kernel=kernel, dilation=dilation, causal=causal)
        nn.init.zeros_(self.widen.weight)
        nn.init.zeros_(self.widen.bias)

    def _before(self, x: Tensor) -> Tensor:
        return F.relu(self.norms[1](self.narrow(F.relu(self.norms[0](x)))))

    def _after(self, x: Tensor, h: Tensor) -> Tensor:
        return x + self.widen(F.relu(self.norms[2](h)))  # type: ignore[no-any-return]

    def forward(self, x: Tensor, inside: Tensor | None = None) -> Tensor:
        """(B, T, C) -> (B, T, C); what is not `inside` (B, T, 1) is as if it were padding."""
        h = self._before(x)
        return self._after(x, self.conv(h if inside is None else h * inside))

    def step(self, x: Tensor, queue: Tensor, t: int) -> Tensor:
        """Position t alone, (B, C) -> (B, C)."""
        return self._after(x, self.conv.step(self._before(x), queue, t))


class Stack(nn.Module):
    """Blocks, one on another."""

    def __init__(self, channels: int, *, kernel: int, dilations: Sequence[int], causal: bool) -> None:
        super().__init__()
        self.blocks = [Block(channels, kernel=kernel, dilation=d, causal=causal) for d in dilations]
        self.layers = nn.ModuleList(self.blocks)

    def forward(self, x: Tensor, inside: Tensor | None = None) -> Tensor:
        """(B, T, C) -> (B, T, C); what is not `inside` (B, T, 1) is as if it were padding."""
        for block in self.blocks:
            x = block(x, inside)
        return x

    def queues(self, n: int) -> list[Tensor]:
        """A queue a block, for `step`."""
        return [block.conv.queue(n) for block in self.blocks]

    def step(self, x: Tensor, queues: list[Tensor], t: int) -> Tensor:
        """Position t alone, (B, C) -> (B, C), of causal blocks: in the time that the first position took."""
        for block, queue in zip(self.blocks, queues, strict=True):
            x = block.step(x, queue, t)
        return x
