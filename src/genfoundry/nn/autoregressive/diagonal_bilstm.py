"""Diagonal BiLSTM layers (van den Oord et al. 2016, arXiv:1601.06759, section 3.2), for training and sampling.

In a skewed map row i is shifted right by i. Its column d is then the diagonal of the cells (i, d - i); the cells that
these depend on, beside (i, j - 1) and above (i - 1, j), are in column d - 1. So all cells of a diagonal are one step. A
scan from the right is a scan from the left over the mirrored map, so that both directions are one computation.

The LSTM from the right sees later positions of its own row, so its map is shifted down by one row: the output at (i, j)
reads the LSTM from the left at (i, j) and the one from the right at (i - 1, j).
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class Diagonals(nn.Module):
    """The H W cells of a map ordered by diagonals, top to bottom within each: [0] of the map, [1] of its mirror image.

    This is the skewed map H x (H + W - 1) without its empty half.
    """

    forth: Tensor
    back: Tensor

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        height, width = self.size = size
        self.cells = height * width
        rows = [
            (max(0, d - width + 1), min(height, d + 1)) for d in range(height + width - 1)
        ]  # first row, last row + 1
        forth = [[(i, d - i) for i in range(first, past)] for d, (first, past) in enumerate(rows)]
        order = torch.tensor([cell for diagonal in forth for cell in diagonal])
        self.register_buffer("forth", _raster_positions(order, width), persistent=False)  # (2, H W)
        self.register_buffer("back", self.forth.argsort(1), persistent=False)
        starts = [0, *torch.tensor([past - first for first, past in rows]).cumsum(0).tolist()]
        self.blocks = [slice(*ends) for ends in pairwise(starts)]
        self.steps = [_link_diagonals(*pair) for pair in pairwise(rows)]

    def skew(self, left: Tensor, right: Tensor) -> Tensor:
        """Reorder maps (H W, ...) from raster order to (2, H W, ...) by diagonals: `left`, and `right` mirrored."""
        cells = left.new_empty(2, *left.shape)
        for part, order, out in zip((left, right), self.forth, cells, strict=True):
            torch.index_select(part, 0, order, out=out)
        return cells

    def unskew(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        """Invert `skew`."""
        return cells[0].index_select(0, self.back[0]), cells[1].index_select(0, self.back[1])


def _raster_positions(order: Tensor, width: int) -> Tensor:
    i, j = order.unbind(1)
    return torch.stack([i * width + j, i * width + width - 1 - j])  # (2, H W): of the map, and of its mirror


def _link_diagonals(now: tuple[int, int], after: tuple[int, int]) -> tuple[slice, slice, slice, slice]:
    """Slices of a diagonal and of the next one that are neighbours in a row (two slices) and in a column (two)."""
    beside, below = max(now[0], after[0]), min(now[1], after[1] - 1)
    return (
        slice(beside - now[0], now[1] - now[0]), slice(beside - after[0], now[1] - after[0]),
        slice(0, below - now[0]), slice(now[0] + 1 - after[0], below + 1 - after[0]),
    )  # fmt: skip


class DiagonalLstm(torch.autograd.Function):
    """Hidden states (H W, B, F) of two LSTMs over maps (H W, B, P): from the left, and, over `right`, from the right.

    At a cell:
        a = x @ read + [h beside, h above] @ weight + bias
        output, forget, write = sigmoid(a),  candidate = tanh(a / 2)
        c = forget * (c beside) + write * candidate,  h = output * tanh(c)
    with read (2, P, 4F), weight (2, 2F, 4F), bias (2, 1, 4F). The backward pass is
    written out: a step is one small product and some passes over its cells, and the gradient of the weights is one
    product over all of them.
    """

    @staticmethod
    def forward(
        ctx: Any, left: Tensor, right: Tensor, read: Tensor, weight: Tensor, bias: Tensor, diagonals: Diagonals
    ) -> tuple[Tensor, Tensor]:
        width, batch = weight.shape[2] // 4, left.shape[1]
        x = diagonals.skew(left, right)  # (2, H W, B, P)
        gates = torch.baddbmm(bias, x.flatten(1, 2), read).view(2, -1, batch, 4 * width)  # (2, H W, B, 4F)
        near = x.new_zeros(2, diagonals.cells, batch, 2 * width)  # hidden states beside and above each cell
        cells, squashed, hidden = (x.new_empty(2, diagonals.cells, batch, width) for _ in range(3))
        for d, now in enumerate(diagonals.blocks):
            a, c, h = gates[:, now].flatten(1, 2), cells[:, now], hidden[:, now]
            torch.baddbmm(a, near[:, now].flatten(1, 2), weight, out=a).sigmoid_()
            output, forget, write, candidate = gates[:, now].chunk(4, -1)
            # write (2 sigmoid(a) - 1) = write tanh(a / 2)
            torch.addcmul(-write, write, candidate, value=2.0, out=c)
            if d:
                source, target, _, _ = diagonals.steps[d - 1]
                c[:, target].addcmul_(forget[:, target], cells[:, diagonals.blocks[d - 1]][:, source])
            torch.mul(output, torch.tanh(c, out=squashed[:, now]), out=h)
            if d < len(diagonals.steps):
                source, target, upper, lower = diagonals.steps[d]
                after = near[:, diagonals.blocks[d + 1]]
                after[:, target, :, :width] = h[:, source]
                after[:, lower, :, width:] = h[:, upper]
        ctx.save_for_backward(x, read, weight, gates, near, cells, squashed)
        ctx.diagonals = diagonals
        return diagonals.unskew(hidden)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, left: Tensor, right: Tensor) -> tuple[Tensor | None, ...]:
        x, read, weight, gates, near, cells, squashed = ctx.saved_tensors
        diagonals, width = ctx.diagonals, weight.shape[2] // 4
        hidden, slopes = diagonals.skew(left, right), torch.empty_like(gates)  # gradients of h and of a
        carried = gates.new_zeros(0)  # gradient of the cells, from the next diagonal's cells beside them
        for d in reversed(range(len(diagonals.blocks))):
            now = diagonals.blocks[d]
            s, h, t = slopes[:, now], hidden[:, now], squashed[:, now]
            output, forget, write, candidate = gates[:, now].chunk(4, -1)
            to_output, to_forget, to_write, to_candidate = s.chunk(4, -1)
            torch.mul(h, t, out=to_output)
            # The gradient of the cells: through h, and from the cells beside them on the next diagonal
            c = torch.ops.aten.tanh_backward(h * output, t)
            if d < len(diagonals.steps):
                source, target, _, _ = diagonals.steps[d]
                c[:, source] += carried[:, target]
            torch.addcmul(-c, c, candidate, value=2.0, out=to_write)  # c tanh(a / 2)
            torch.mul(c, write, out=to_candidate).mul_(2.0)
            to_forget.zero_()
            if d:
                source, target, upper, lower = diagonals.steps[d - 1]
                before = diagonals.blocks[d - 1]
                torch.mul(c[:, target], cells[:, before][:, source], out=to_forget[:, target])
            torch.ops.aten.sigmoid_backward.grad_input(s, gates[:, now], grad_input=s)
            if d:
                back = torch.bmm(s.flatten(1, 2), weight.mT).view(2, *s.shape[1:3], -1)
                hidden[:, before][:, source] += back[:, target, :, :width]
                hidden[:, before][:, upper] += back[:, lower, :, width:]
            carried = c * forget
        slope = slopes.flatten(1, 2)  # (2, H W B, 4F)
        inward = diagonals.unskew(torch.bmm(slope, read.mT).view_as(x))
        by_weight = [torch.bmm(part.flatten(1, 2).mT, slope) for part in (x, near)]
        return *inward, *by_weight, slope.sum(1, keepdim=True), None


class DiagonalBiLstm(nn.Module):
    """x (H W, B, inputs) in raster order -> x + a projection of both LSTMs, of `width` units each."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.read = nn.Parameter(torch.randn(2, inputs, 4 * width) / math.sqrt(inputs))
        self.weight = nn.Parameter(torch.randn(2, 2 * width, 4 * width) / math.sqrt(2 * width))
        # The gates are output, forget, write and candidate: forget gates start open
        self.bias = nn.Parameter(torch.zeros(2, 4, width).index_fill(1, torch.tensor(1), 1.0).flatten())
        self.out = nn.Linear(2 * width, inputs)

    def forward(self, x: Tensor, from_right: Tensor, diagonals: Diagonals) -> Tensor:
        """Map x; `from_right` (like x) is what the LSTM from the right reads, which may contain the position itself."""
        x, from_right = x.to(self.read.dtype), from_right.to(self.read.dtype)
        # A custom function gets no casts from autocast: all inputs are in the weights' type
        with torch.autocast(x.device.type, enabled=False):
            bias = self.bias.view(2, 1, -1)
            inputs = (x, from_right, self.read, self.weight, bias, diagonals)
            left, right = DiagonalLstm.apply(*inputs)  # type: ignore[no-untyped-call]
        # The map of the LSTM from the right, shifted down by a row
        above = F.pad(right[: -diagonals.size[1]], (0, 0, 0, 0, diagonals.size[1], 0))
        return x + self.out(torch.cat([left, above], -1))  # type: ignore[no-any-return]


def lstm_step(a: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Compute one cell of `DiagonalLstm`: gates a (..., 4F), the cell beside (..., F) -> hidden state, cell."""
    output, forget, write, candidate = torch.sigmoid(a).chunk(4, -1)
    c = torch.addcmul(torch.addcmul(-write, write, candidate, value=2.0), forget, c)
    return output * torch.tanh(c), c


class BiLstmScan:
    """The states of all layers for n maps (height, width) that are filled in raster order.

    At a position every layer's LSTM from the left makes one step. When a row is full, the LSTMs from the right run over
    it, all layers together. What depends on the row above is one product a row.
    """

    def __init__(self, layers: list[DiagonalBiLstm], n: int, width: int) -> None:
        read, weight = (torch.stack([getattr(layer, name) for layer in layers], 1) for name in ("read", "weight"))
        units = layers[0].width
        # [0]: from the left, [1]: from the right
        self.forth = torch.cat([read[0], weight[0, :, :units]], 1)  # (L, inputs + F, 4F)
        self.read = read[1]
        self.beside, self.above = weight[1, :, :units], weight[:, :, units:]
        self.bias = torch.stack([layer.bias.view(2, 1, -1) for layer in layers], 1)  # (2, L, 1, 4F)
        out = torch.stack([layer.out.weight.T for layer in layers])  # (L, 2F, inputs)
        self.out, self.shifted = out[:, :units], out[:, units:]
        self.offset = torch.stack([layer.out.bias for layer in layers]).unsqueeze(1)
        zeros = read.new_zeros
        self.inputs = zeros(len(layers), width, n, read.shape[2])  # of a row
        self.left, self.right = (zeros(len(layers), width, n, units) for _ in range(2))  # hidden states, of a row
        self.h, self.c = (zeros(len(layers), n, units) for _ in range(2))
        self.start_row()

    def start_row(self) -> None:
        """Compute what a new row reads of the row above."""
        shape = self.left.shape[:3]
        self.from_above = torch.baddbmm(self.bias[0], self.left.flatten(1, 2), self.above[0]).view(*shape, -1)
        self.offset_above = torch.baddbmm(self.offset, self.right.flatten(1, 2), self.shifted).view(*shape, -1)
        self.h, self.c = torch.zeros_like(self.h), torch.zeros_like(self.c)

    def step(self, x: Tensor, j: int) -> Tensor:
        """Map (n, inputs) at column j to the last layer's output."""
        for number in range(len(self.inputs)):
            self.inputs[number, j] = x
            a = torch.addmm(self.from_above[number, j], torch.cat([x, self.h[number]], 1), self.forth[number])
            h, self.c[number] = lstm_step(a, self.c[number])  # (n, units) each
            self.h[number] = self.left[number, j] = h
            x = torch.addmm(x + self.offset_above[number, j], h, self.out[number])
        return x

    def end_row(self, values: Tensor) -> None:
        """Run the LSTMs from the right over a full row; the first layer also reads `values` (width, n, inputs)."""
        self.inputs[0] += values
        a = torch.baddbmm(self.bias[1], self.inputs.flatten(1, 2), self.read)  # (L, W n, 4F)
        a = a.baddbmm_(self.right.flatten(1, 2), self.above[1]).view(*self.right.shape[:3], -1)
        h, c = torch.zeros_like(self.h), torch.zeros_like(self.c)
        for j in reversed(range(a.shape[1])):
            h, c = lstm_step(torch.baddbmm(a[:, j], h, self.beside), c)
            self.right[:, j] = h
