"""Recurrence along diagonals: the Diagonal BiLSTM (van den Oord et al. 2016, arXiv:1601.06759, section 3.2).

In a skewed map row i is shifted right by i. Its column d is then the diagonal of the cells (i, d - i), and what they
hang on, beside and above, (i, j - 1) and (i - 1, j), is in column d - 1: all cells of a diagonal are one step. A scan
from the right is a scan from the left over the mirrored map, so that both directions are one.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class Diagonals(nn.Module):
    """The H W cells of a map ordered by diagonals, downwards within one: [0] of the map, [1] of the mirrored map.

    That is the skewed map H x (H + W - 1) without its empty half.
    """

    forth: Tensor
    back: Tensor

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        height, width = self.size = size
        self.cells = height * width
        rows = [(max(0, d - width + 1), min(height, d + 1)) for d in range(height + width - 1)]  # first, past the last
        forth = [[(i, d - i) for i in range(first, past)] for d, (first, past) in enumerate(rows)]
        order = torch.tensor([cell for diagonal in forth for cell in diagonal])
        self.register_buffer("forth", _flat(order, width), persistent=False)  # (2, H W) raster positions
        self.register_buffer("back", self.forth.argsort(1), persistent=False)
        starts = [0, *torch.tensor([past - first for first, past in rows]).cumsum(0).tolist()]
        self.blocks = [slice(*ends) for ends in pairwise(starts)]
        self.steps = [_step(*pair) for pair in pairwise(rows)]

    def skew(self, left: Tensor, right: Tensor) -> Tensor:
        """Maps in raster order (H W, ...) -> (2, H W, ...) by diagonals: `left`, and `right` mirrored."""
        cells = left.new_empty(2, *left.shape)
        for part, order, out in zip((left, right), self.forth, cells, strict=True):
            torch.index_select(part, 0, order, out=out)
        return cells

    def unskew(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        """The inverse of `skew`."""
        return cells[0].index_select(0, self.back[0]), cells[1].index_select(0, self.back[1])


def _flat(order: Tensor, width: int) -> Tensor:
    i, j = order.unbind(1)
    return torch.stack([i * width + j, i * width + width - 1 - j])


def _step(now: tuple[int, int], after: tuple[int, int]) -> tuple[slice, slice, slice, slice]:
    """Rows of a diagonal -> rows of the next one: those beside them (two slices), those below them (two slices)."""
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
    with read (2, P, 4F), weight (2, 2F, 4F), bias (2, 1, 4F). The gradient is written out: a step is one small product
    and some passes over its cells, while the weights' gradients are one product over all of them.
    """

    @staticmethod
    def forward(
        ctx: Any, left: Tensor, right: Tensor, read: Tensor, weight: Tensor, bias: Tensor, diagonals: Diagonals
    ) -> tuple[Tensor, Tensor]:
        width, batch = weight.shape[2] // 4, left.shape[1]
        x = diagonals.skew(left, right)
        gates = torch.baddbmm(bias, x.flatten(1, 2), read).view(2, -1, batch, 4 * width)
        near = x.new_zeros(2, diagonals.cells, batch, 2 * width)  # hidden states beside and above each cell
        cells, squashed, hidden = (x.new_empty(2, diagonals.cells, batch, width) for _ in range(3))
        for d, now in enumerate(diagonals.blocks):
            a, c, h = gates[:, now].flatten(1, 2), cells[:, now], hidden[:, now]
            torch.baddbmm(a, near[:, now].flatten(1, 2), weight, out=a).sigmoid_()
            output, forget, write, candidate = gates[:, now].chunk(4, -1)
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
        kept = gates.new_zeros(0)  # the next diagonal's gradient of the cells beside it
        for d in reversed(range(len(diagonals.blocks))):
            now = diagonals.blocks[d]
            s, h, t = slopes[:, now], hidden[:, now], squashed[:, now]
            output, forget, write, candidate = gates[:, now].chunk(4, -1)
            to_output, to_forget, to_write, to_candidate = s.chunk(4, -1)
            torch.mul(h, t, out=to_output)
            c = torch.ops.aten.tanh_backward(h * output, t)
            if d < len(diagonals.steps):
                source, target, _, _ = diagonals.steps[d]
                c[:, source] += kept[:, target]
            torch.addcmul(-c, c, candidate, value=2.0, out=to_write)
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
            kept = c * forget
        slope = slopes.flatten(1, 2)
        inward = diagonals.unskew(torch.bmm(slope, read.mT).view_as(x))
        by_weight = [torch.bmm(part.flatten(1, 2).mT, slope) for part in (x, near)]
        return *inward, *by_weight, slope.sum(1, keepdim=True), None
