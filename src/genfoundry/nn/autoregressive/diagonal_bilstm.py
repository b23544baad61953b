"""Layers of the Diagonal BiLSTM, over whole maps and, for samples, position by position.

The LSTM from the right sees later positions of its own row, so its map is shifted down by one row: at (i, j) a layer
gives what the LSTM from the left says at (i, j) and the one from the right at (i - 1, j).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genfoundry.nn.autoregressive.diagonal import DiagonalLstm, Diagonals


class DiagonalBiLstm(nn.Module):
    """x (H W, B, inputs) in raster order -> x + what both LSTMs, of `width` units each, have read up to there."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.read = nn.Parameter(torch.randn(2, inputs, 4 * width) / math.sqrt(inputs))
        self.weight = nn.Parameter(torch.randn(2, 2 * width, 4 * width) / math.sqrt(2 * width))
        self.bias = nn.Parameter(torch.zeros(2, 4, width).index_fill(1, torch.tensor(1), 1.0).flatten())
        self.out = nn.Linear(2 * width, inputs)

    def forward(self, x: Tensor, from_right: Tensor, diagonals: Diagonals) -> Tensor:
        """`from_right` (like x) is what the LSTM from the right reads: it may tell a position's own value."""
        x, from_right = x.to(self.read.dtype), from_right.to(self.read.dtype)
        with torch.autocast(x.device.type, enabled=False):
            bias = self.bias.view(2, 1, -1)
            given = (x, from_right, self.read, self.weight, bias, diagonals)
            left, right = DiagonalLstm.apply(*given)  # type: ignore[no-untyped-call]
        above = F.pad(right[: -diagonals.size[1]], (0, 0, 0, 0, diagonals.size[1], 0))
        return x + self.out(torch.cat([left, above], -1))  # type: ignore[no-any-return]


def cell(a: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """The step of `DiagonalLstm`: a (..., 4F) and the cells beside (..., F) -> hidden states, cells."""
    output, forget, write, candidate = torch.sigmoid(a).chunk(4, -1)
    c = torch.addcmul(torch.addcmul(-write, write, candidate, value=2.0), forget, c)
    return output * torch.tanh(c), c


class Scan:
    """The states of n maps (height, width) that are being filled in raster order.

    At a position every layer's LSTM from the left makes one step; when a row is full, the LSTMs from the right, whose
    layers all read what is known by then, go through it together. What hangs on the row above is one product a row.
    """

    def __init__(self, layers: list[DiagonalBiLstm], n: int, width: int) -> None:
        read, weight = (torch.stack([getattr(layer, name) for layer in layers], 1) for name in ("read", "weight"))
        units = layers[0].width
        self.forth = torch.cat([read[0], weight[0, :, :units]], 1)  # (L, inputs + F, 4F)
        self.read = read[1]
        self.beside, self.above = weight[1, :, :units], weight[:, :, units:]
        self.bias = torch.stack([layer.bias.view(2, 1, -1) for layer in layers], 1)  # (2, L, 1, 4F)
        out = torch.stack([layer.out.weight.T for layer in layers])  # (L, 2F, inputs)
        self.out, self.shifted = out[:, :units], out[:, units:]
        self.offset = torch.stack([layer.out.bias for layer in layers]).unsqueeze(1)
        empty = read.new_zeros
        self.inputs = empty(len(layers), width, n, read.shape[2])  # of a row
        self.left, self.right = (empty(len(layers), width, n, units) for _ in range(2))  # hidden states, of a row
        self.h, self.c = (empty(len(layers), n, units) for _ in range(2))
        self.down()

    def down(self) -> None:
        """Begin a row: what the row above gives it."""
        by = self.left.shape[:3]
        self.driven = torch.baddbmm(self.bias[0], self.left.flatten(1, 2), self.above[0]).view(*by, -1)
        self.given = torch.baddbmm(self.offset, self.right.flatten(1, 2), self.shifted).view(*by, -1)
        self.h, self.c = torch.zeros_like(self.h), torch.zeros_like(self.c)

    def step(self, x: Tensor, j: int) -> Tensor:
        """(n, inputs) at column j -> the last layer's output there."""
        for number in range(len(self.inputs)):
            self.inputs[number, j] = x
            a = torch.addmm(self.driven[number, j], torch.cat([x, self.h[number]], 1), self.forth[number])
            h, self.c[number] = cell(a, self.c[number])
            self.h[number] = self.left[number, j] = h
            x = torch.addmm(x + self.given[number, j], h, self.out[number])
        return x

    def across(self, own: Tensor) -> None:
        """End a row: the LSTMs from the right go through it; the first one is told `own` (width, n, inputs) besides."""
        self.inputs[0] += own
        a = torch.baddbmm(self.bias[1], self.inputs.flatten(1, 2), self.read)
        a = a.baddbmm_(self.right.flatten(1, 2), self.above[1]).view(*self.right.shape[:3], -1)
        h, c = torch.zeros_like(self.h), torch.zeros_like(self.c)
        for j in reversed(range(a.shape[1])):
            h, c = cell(torch.baddbmm(a[:, j], h, self.beside), c)
            self.right[:, j] = h
