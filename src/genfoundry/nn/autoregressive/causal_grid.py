"""Causal convolutions over grids that are read row by row: all positions at once, or one at a time while sampling."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class GridCache:
    """A grid (n, inputs, H, W) that a sampler fills: as rows in a margin of zeros, and as one line after a margin.

    `history`: how many past values of a text, which is one row, are kept as they are.
    """

    def __init__(self, like: Tensor, n: int, size: tuple[int, int], conv: CausalConv, history: int) -> None:
        (height, self.width), inputs = size, like.shape[-1]
        self.rows, self.aside, self.margin, self.history = conv.rows, conv.aside, conv.reach, history
        self.cells = like.new_zeros(n, inputs, self.rows + height, self.width + 2 * self.aside)
        self.line = like.new_zeros(n, inputs, self.margin + height * self.width)
        self.text = torch.zeros(n, history + self.width if history else 0, dtype=torch.int64, device=like.device)

    def put(self, row: int, column: int, values: Tensor, embedded: Tensor) -> None:
        """Write m values of a row: (n, m), and embedded (n, inputs, m)."""
        start, first, m = self.margin + row * self.width + column, self.aside + column, values.shape[1]
        self.cells[:, :, self.rows + row, first : first + m] = embedded
        self.line[:, :, start : start + m] = embedded
        if self.history:
            self.text[:, self.history + column : self.history + column + m] = values + 1  # 0: no character

    @property
    def positions(self) -> int:
        """H W."""
        return self.line.shape[2] - self.margin

    def past(self, column: int) -> Tensor:
        """Return (n, history): the last values of a text plus 1, 0 where there is none."""
        return self.text[:, column : column + self.history]

    def left(self, row: int, column: int, reach: int) -> Tensor:
        """Return (n, inputs * reach): the values before a position, which continue from the end of the row above."""
        start = self.margin + row * self.width + column
        return self.line[:, :, start - reach : start].flatten(1)

    def above(self, row: int, column: int, stride: int) -> Tensor:
        """Return (n, inputs * rows * (stride + 2 aside)): the rows above the `stride` positions from this one on."""
        return self.cells[:, :, row : row + self.rows, column : column + stride + 2 * self.aside].flatten(1)


class CausalConv(nn.Module):
    """(B, inputs, H, W) -> (B, outputs, H, W / stride): features of what lies before every `stride`-th position.

    It reads the last `reach` values in raster order and, of `rows` rows above, the `stride` columns that a position
    stands for with `aside` more to either side. No mask is needed: the grid is padded on one side alone.
    """

    def __init__(self, inputs: int, outputs: int, *, reach: int, rows: int, aside: int, stride: int = 1) -> None:
        super().__init__()
        self.reach, self.rows, self.aside, self.stride = reach, rows, aside, stride
        self.left = nn.Conv2d(inputs, outputs, (1, reach), stride=(1, stride))
        self.above = nn.Conv2d(inputs, outputs, (rows, stride + 2 * aside), stride=(1, stride)) if rows else None

    def forward(self, x: Tensor) -> Tensor:
        line = x.flatten(2).unsqueeze(2)  # (B, inputs, 1, H W)
        # Without the last `stride` values: output m reads the `reach` values before position m * stride
        out: Tensor = self.left(F.pad(line[..., : line.shape[-1] - self.stride], (self.reach, 0)))
        out = out.view(*out.shape[:2], x.shape[2], -1)  # (B, outputs, H, W / stride)
        if self.above is not None:
            out = out + self.above(F.pad(x[:, :, :-1], (self.aside, self.aside, self.rows, 0)))
        return out

    def step(self, cache: GridCache, row: int, column: int) -> Tensor:
        """Return (n, outputs) at one position."""
        out = F.linear(cache.left(row, column, self.reach), self.left.weight.flatten(1), self.left.bias)
        if self.above is not None:
            above = cache.above(row, column, self.stride)
            out = out + F.linear(above, self.above.weight.flatten(1), self.above.bias)
        return out
