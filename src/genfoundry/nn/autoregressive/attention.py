"""Causal self-attention: pre-norm blocks (Vaswani et al. 2017, arXiv:1706.03762; Radford et al. 2019), and a cache.

What a token computes depends on itself and earlier tokens alone, so its keys and values never change: a sampler
computes each once and keeps them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass
class Cache:
    """Keys and values of every block, (layers, n, heads, most, width / heads) each; `filled` tokens are in it."""

    keys: Tensor
    values: Tensor
    filled: int = 0


class Block(nn.Module):
    """x + attention(norm(x)), then x + f(norm(x)) with one hidden layer of four times the width, ReLU squared.

    The square of a ReLU is So et al.'s (2021, arXiv:2109.08668): as good as a GELU, and cheap.
    """

    def __init__(self, width: int, heads: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_hidden = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.hidden = nn.Linear(width, 4 * width)
        self.back = nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout)
        for last in (self.out, self.back):  # the sum of all blocks begins as large as one
            nn.init.normal_(last.weight, std=0.5 / math.sqrt(last.in_features * 2 * layers))
            nn.init.zeros_(last.bias)

    def forward(
        self, x: Tensor, turn: Tensor | None, span: int, cache: tuple[Tensor, Tensor] | None, at: int
    ) -> Tensor:
        """(B, M, width), the tokens `at` and after; with a cache (B, heads, most, ...) those before are in it."""
        q, k, v = self.qkv(self.before_attention(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if turn is not None:
            q, k = turned(q, turn), turned(k, turn)
        if cache is not None:
            keys, values = cache
            keys[:, :, at : at + x.shape[1]] = k
            values[:, :, at : at + x.shape[1]] = v
            first = max(0, at + 1 - span)
            k, v = (kept[:, :, first : at + x.shape[1]] for kept in cache)
        found = attended(q, k, v, span)
        x = x + self.dropout(self.out(found.transpose(1, 2).flatten(2)))
        h = F.relu(self.hidden(self.before_hidden(x)))
        out: Tensor = x + self.dropout(self.back(h * h))
        return out


def attended(q: Tensor, k: Tensor, v: Tensor, span: int) -> Tensor:
    """Each of the last queries attends to itself and the `span` - 1 tokens before it."""
    m, n = q.shape[2], k.shape[2]
    if m == 1:
        return F.scaled_dot_product_attention(q, k, v)
    if m == n and n <= span:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    back = torch.arange(n - m, n, device=q.device)[:, None] - torch.arange(n, device=q.device)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=(back >= 0) & (back < span))


def rotation(position: Tensor, size: int) -> Tensor:
    """(M,) positions -> (2, M, size / 2): cosines and sines of rotary embedding (Su et al. 2021, arXiv:2104.09864)."""
    rate = torch.exp(torch.arange(0, size, 2, device=position.device, dtype=torch.float64) * (-math.log(1e4) / size))
    angle = position.double()[:, None] * rate
    return torch.stack([angle.cos(), angle.sin()])


def turned(x: Tensor, turn: Tensor) -> Tensor:
    """Pairs of features (B, heads, M, size) turned by angles that grow with the position."""
    a, b = x.chunk(2, -1)
    cos, sin = turn.to(x.dtype)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)


class Attention(nn.Module):
    """The blocks; `span`: how many tokens, itself among them, a token attends to."""

    def __init__(self, width: int, layers: int, heads: int, *, span: int, rotary: bool, dropout: float = 0.0) -> None:
        super().__init__()
        self.span, self.heads, self.size, self.rotary = span, heads, width // heads, rotary
        self.blocks = nn.ModuleList(Block(width, heads, layers, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, cache: Cache | None = None) -> Tensor:
        """(B, M, width) -> (B, M, width); with a cache x are the tokens that follow what is in it, and join it."""
        at = cache.filled if cache else 0
        turn = None
        if self.rotary:
            turn = rotation(torch.arange(at, at + x.shape[1], device=x.device), self.size)
        for i, block in enumerate(self.blocks):
            x = block(x, turn, self.span, (cache.keys[i], cache.values[i]) if cache else None, at)
        if cache:
            cache.filled += x.shape[1]
        out: Tensor = self.norm(x)
        return out

    def cache(self, n: int, most: int) -> Cache:
        """An empty one for n sequences of at most so many tokens."""
        like = self.norm.weight
        shape = (len(self.blocks), n, self.heads, most, self.size)
        return Cache(like.new_zeros(shape), like.new_zeros(shape))
