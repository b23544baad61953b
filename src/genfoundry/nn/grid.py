"""Grids of values that are read row by row: what lies before a position, of a whole grid or of one that is filled."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Paper:
    """A grid (n, inputs, H, W) to be filled, with an empty margin: `rows` above it, `reach` at either side."""

    def __init__(self, like: Tensor, n: int, size: tuple[int, int], *, rows: int, reach: int) -> None:
        self.rows, self.reach = rows, reach
        self.cells = like.new_zeros(n, like.shape[-1], rows + size[0], size[1] + 2 * reach)

    def put(self, row: int, column: int, values: Tensor) -> None:
        """Write values (n, inputs, m) into m cells of a row."""
        first = self.reach + column
        self.cells[:, :, self.rows + row, first : first + values.shape[2]] = values

    def window(self, above: int, down: int, start: int, stop: int) -> Tensor:
        """Rows above..down and columns start..stop, which may lie in the margin: (n, inputs * cells)."""
        rows, columns = slice(self.rows + above, self.rows + down), slice(self.reach + start, self.reach + stop)
        return self.cells[:, :, rows, columns].flatten(1)


class Before(nn.Module):
    """What lies before every `stride`-th position of a grid: `reach` values on its row, and of `rows` rows above.

    (B, inputs, H, W) -> (B, outputs, H, W / stride). No mask is needed: the grid is padded on one side alone. Above,
    it reads as far to either side of the `stride` values that a position stands for.
    """

    def __init__(self, inputs: int, outputs: int, *, reach: int, rows: int, stride: int = 1) -> None:
        super().__init__()
        self.reach, self.rows, self.stride = reach, rows, stride
        self.left = nn.Conv2d(inputs, outputs, (1, reach), stride=(1, stride))
        self.above = nn.Conv2d(inputs, outputs, (rows, stride + 2 * reach), stride=(1, stride)) if rows else None

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.left(F.pad(x[..., : x.shape[-1] - self.stride], (self.reach, 0)))
        if self.above is not None:
            found = found + self.above(F.pad(x[:, :, :-1], (self.reach, self.reach, self.rows, 0)))
        return found

    def at(self, paper: Paper, row: int, column: int) -> Tensor:
        """(n, outputs) at one position."""
        left = paper.window(row, row + 1, column - self.reach, column)
        found = F.linear(left, self.left.weight.flatten(1), self.left.bias)
        if self.above is not None:
            end = column + self.stride + self.reach
            above = paper.window(row - self.rows, row, column - self.reach, end)
            found = found + F.linear(above, self.above.weight.flatten(1), self.above.bias)
        return found


def curved(levels: int, size: int) -> Tensor:
    """(levels, size): an embedding of ordered levels to start from, in which near levels lie near each other."""
    value = torch.linspace(-2, 2, levels)[:, None]
    return 2**0.5 * torch.sin(value * torch.randn(size) + torch.randn(size))
