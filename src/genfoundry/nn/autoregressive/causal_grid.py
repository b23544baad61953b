"""Grids of values that are read row by row: what lies before a position, of a whole grid or of one that is filled."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Paper:
    """A grid (n, inputs, H, W) to be filled: as rows with a margin around them, and as one line that starts empty.

    `past`: how many values of a text, which is one row, are to be had as they are.
    """

    def __init__(self, like: Tensor, n: int, size: tuple[int, int], before: Before, past: int) -> None:
        (height, self.width), inputs = size, like.shape[-1]
        self.rows, self.aside, self.empty, self.back = before.rows, before.aside, before.reach, past
        self.cells = like.new_zeros(n, inputs, self.rows + height, self.width + 2 * self.aside)
        self.line = like.new_zeros(n, inputs, self.empty + height * self.width)
        self.text = torch.zeros(n, past + self.width if past else 0, dtype=torch.int64, device=like.device)

    def put(self, row: int, column: int, values: Tensor, embedded: Tensor) -> None:
        """Write m values of a row, (n, m) and (n, inputs, m)."""
        place, first, m = self.empty + row * self.width + column, self.aside + column, values.shape[1]
        self.cells[:, :, self.rows + row, first : first + m] = embedded
        self.line[:, :, place : place + m] = embedded
        if self.back:
            self.text[:, self.back + column : self.back + column + m] = values + 1

    @property
    def places(self) -> int:
        """H W."""
        return self.line.shape[2] - self.empty

    def past(self, column: int) -> Tensor:
        """(n, past): the last values of a text plus 1, 0 where there is none."""
        return self.text[:, column : column + self.back]

    def left(self, row: int, column: int, reach: int) -> Tensor:
        """(n, inputs * reach): the values before a place, the end of the row above too."""
        place = self.empty + row * self.width + column
        return self.line[:, :, place - reach : place].flatten(1)

    def above(self, row: int, column: int, stride: int) -> Tensor:
        """(n, inputs * rows * (stride + 2 aside)): the rows above the `stride` places from this one on."""
        return self.cells[:, :, row : row + self.rows, column : column + stride + 2 * self.aside].flatten(1)


class Before(nn.Module):
    """What lies before every `stride`-th place of a grid: `reach` values in its order, and of `rows` rows above.

    (B, inputs, H, W) -> (B, outputs, H, W / stride). No mask is needed: the grid is padded on one side alone. Above,
    it reads the `stride` values that a place stands for and `aside` to either side.
    """

    def __init__(self, inputs: int, outputs: int, *, reach: int, rows: int, aside: int, stride: int = 1) -> None:
        super().__init__()
        self.reach, self.rows, self.aside, self.stride = reach, rows, aside, stride
        self.left = nn.Conv2d(inputs, outputs, (1, reach), stride=(1, stride))
        self.above = nn.Conv2d(inputs, outputs, (rows, stride + 2 * aside), stride=(1, stride)) if rows else None

    def forward(self, x: Tensor) -> Tensor:
        line = x.flatten(2).unsqueeze(2)  # (B, inputs, 1, H W)
        found: Tensor = self.left(F.pad(line[..., : line.shape[-1] - self.stride], (self.reach, 0)))
        found = found.view(*found.shape[:2], x.shape[2], -1)
        if self.above is not None:
            found = found + self.above(F.pad(x[:, :, :-1], (self.aside, self.aside, self.rows, 0)))
        return found

    def at(self, paper: Paper, row: int, column: int) -> Tensor:
        """(n, outputs) at one place."""
        found = F.linear(paper.left(row, column, self.reach), self.left.weight.flatten(1), self.left.bias)
        if self.above is not None:
            above = paper.above(row, column, self.stride)
            found = found + F.linear(above, self.above.weight.flatten(1), self.above.bias)
        return found
