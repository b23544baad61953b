"""Causal self-attention: pre-norm transformer blocks (Vaswani et al. 2017, arXiv:1706.03762; Radford et al. 2019).

The output for a token depends on itself and earlier tokens alone, so that a sampler can cache all keys and values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass
class Cache:
    """Keys and values of every block, (layers, n, heads, capacity, width / heads) each; `filled` tokens are stored."""

    keys: Tensor
    values: Tensor
    filled: int = 0


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)); the MLP has one hidden layer of 4 width units with squared ReLU.

    Squared ReLU (So et al. 2021, arXiv:2109.08668) is as good as GELU, and cheap.
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
        for last in (self.out, self.back):  # the sum of all blocks starts as large as one block
            nn.init.normal_(last.weight, std=0.5 / math.sqrt(last.in_features * 2 * layers))
            nn.init.zeros_(last.bias)

    def forward(
        self, x: Tensor, angles: Tensor | None, span: int, cache: tuple[Tensor, Tensor] | None, start: int
    ) -> Tensor:
        """Map tokens (B, M, width), the first of them number `start`; a cache has those before."""
        # (B, heads, M, width / heads) each
        q, k, v = self.qkv(self.before_attention(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if angles is not None:
            q, k = rotate(q, angles), rotate(k, angles)
        if cache is not None:
            keys, values = cache
            keys[:, :, start : start + x.shape[1]] = k
            values[:, :, start : start + x.shape[1]] = v
            first = max(0, start + 1 - span)  # the oldest token within reach
            k, v = (part[:, :, first : start + x.shape[1]] for part in cache)
        attended = causal_attention(q, k, v, span)  # (B, heads, M, width / heads)
        x = x + self.dropout(self.out(attended.transpose(1, 2).flatten(2)))  # (B, M, width)
        h = F.relu(self.hidden(self.before_hidden(x)))  # (B, M, 4 width)
        out: Tensor = x + self.dropout(self.back(h * h))
        return out


def causal_attention(q: Tensor, k: Tensor, v: Tensor, span: int) -> Tensor:
    """Attend from each of the last tokens to itself and the `span` - 1 tokens before it."""
    m, n = q.shape[2], k.shape[2]
    if m == 1:
        return F.scaled_dot_product_attention(q, k, v)  # no key is later, or out of reach
    if m == n and n <= span:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)  # all of the past is within reach
    distance = torch.arange(n - m, n, device=q.device)[:, None] - torch.arange(n, device=q.device)  # (M, N)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=(distance >= 0) & (distance < span))


def rotary_angles(position: Tensor, size: int) -> Tensor:
    """Map positions (M,) to (2, M, size / 2): cosines, sines of rotary embedding (Su et al. 2021, arXiv:2104.09864)."""
    # (size / 2,); in float64, as a float32 angle at position 10,000 is rounded to 1e-3
    rate = torch.exp(torch.arange(0, size, 2, device=position.device, dtype=torch.float64) * (-math.log(1e4) / size))
    angle = position.double()[:, None] * rate  # (M, size / 2)
    return torch.stack([angle.cos(), angle.sin()])


def rotate(x: Tensor, angles: Tensor) -> Tensor:
    """Rotate pairs of features of (B, heads, M, size) by the angles of their positions."""
    a, b = x.chunk(2, -1)  # (B, heads, M, size / 2) each
    cos, sin = angles.to(x.dtype)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)


class Attention(nn.Module):
    """A stack of blocks; a token attends to `span` tokens, itself among them."""

    def __init__(self, width: int, layers: int, heads: int, *, span: int, rotary: bool, dropout: float = 0.0) -> None:
        super().__init__()
        self.span, self.heads, self.size, self.rotary = span, heads, width // heads, rotary
        self.blocks = nn.ModuleList(Block(width, heads, layers, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, cache: Cache | None = None) -> Tensor:
        """Map (B, M, width) to (B, M, width); with a cache, x are the tokens after those stored, and are stored too."""
        start = cache.filled if cache else 0
        angles = None
        if self.rotary:
            angles = rotary_angles(torch.arange(start, start + x.shape[1], device=x.device), self.size)
        for i, block in enumerate(self.blocks):
            x = block(x, angles, self.span, (cache.keys[i], cache.values[i]) if cache else None, start)
        if cache:
            cache.filled += x.shape[1]
        out: Tensor = self.norm(x)
        return out

    def new_cache(self, n: int, capacity: int) -> Cache:
        """Return an empty cache for n sequences of at most `capacity` tokens."""
        like = self.norm.weight
        shape = (len(self.blocks), n, self.heads, capacity, self.size)
        return Cache(like.new_zeros(shape), like.new_zeros(shape))
