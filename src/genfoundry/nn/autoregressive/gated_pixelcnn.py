"""Gated PixelCNN layers without a blind spot (van den Oord et al. 2016, arXiv:1606.05328), for training and sampling.

A vertical stack sees the rows above; a horizontal stack sees the rest of the row, and what the vertical one passes on.
No mask is needed: a convolution sees only earlier positions because its input is padded on that side alone, and the
first layer leaves out the position itself. So no weight is ever multiplied by 0.

Sampling (`GatedStack.scan`) computes each layer once a position: the vertical stack a row at a time, the horizontal one
a position at a time, as matrix products on channels-last states, where a window of neighbours is a row of a matrix
without being copied.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def gate(x: Tensor) -> Tensor:
    """Apply the gated activation (eq. 2) to (B, 2C, H, W): tanh(a / 2) sigmoid(b) by 2 sigmoid(a) - 1 = tanh(a / 2)."""
    value, weight = torch.sigmoid(x).chunk(2, dim=1)
    return torch.addcmul(-weight, value, weight, value=2.0)


class GatedLayer(nn.Module):
    """One layer of both stacks: it reads `reach` rows above, columns before and, unless `first`, the position itself.

    `context` (channels of a map that is given everywhere) enters the vertical stack, the class the horizontal one
    alone: the vertical states of all classes are the same.
    """

    def __init__(self, inputs: int, width: int, *, reach: int, first: bool, context: int, classes: int) -> None:
        super().__init__()
        self.first, self.reach, self.taps = first, reach, reach + (not first)
        self.vertical = nn.Conv2d(inputs, 2 * width, (self.taps, 2 * reach + 1))
        self.context = nn.Conv2d(context, 2 * width, 1, bias=False) if context else None
        self.horizontal = nn.Conv2d(inputs, 2 * width, (1, self.taps))
        self.link = nn.Conv2d(2 * width, 2 * width, 1, bias=False)
        self.label = nn.Embedding(classes, 2 * width) if classes else None
        self.out = nn.Conv2d(width, width, 1)
        self.skip = nn.Conv2d(width, width, 1)

    def run_vertical(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Map (B, C, H, W) to the vertical state (B, width, H, W) and its link to the other one (B, 2 width, H, W)."""
        # Without the last row, and padded on top, the first layer reads the rows above a position alone
        above = x[:, :, :-1] if self.first else x
        state = self.vertical(F.pad(above, (self.reach, self.reach, self.reach, 0)))  # (B, 2 width, H, W)
        if self.context is not None and context is not None:
            state = state + self.context(context)
        return gate(state), self.link(state)

    def run_horizontal(self, x: Tensor, link: Tensor, label: Tensor | None) -> tuple[Tensor, Tensor]:
        """Map (B, C, H, W) to the horizontal state (B, width, H, W) and its part of the stack's output."""
        before = F.pad(x[..., :-1] if self.first else x, (self.reach, 0, 0, 0))  # (B, C, H, reach + W), less 1 if first
        state = self.horizontal(before) + link
        if self.label is not None and label is not None:
            state = state + self.label(label)[:, :, None, None]  # (B, 2 width, 1, 1)
        state = gate(state)
        out = self.out(state)
        # The first layer has no residual path, which would pass on the position itself
        return (out if self.first else out + before[..., self.reach :]), self.skip(state)


class GatedStack(nn.Module):
    """x (B, inputs, H, W) -> features (B, width, H, W), each of positions before it alone, in raster order.

    `label` (B,) is one of `classes`; `context` (B, context, H, W) is given everywhere.
    """

    def __init__(
        self, inputs: int, width: int, layers: int, *, reach: int = 1, context: int = 0, classes: int = 0
    ) -> None:
        super().__init__()
        self.inputs, self.width = inputs, width
        self.layers: list[GatedLayer] = nn.ModuleList(  # type: ignore[assignment]
            GatedLayer(
                inputs if first else width, width, reach=reach + first, first=first, context=context, classes=classes
            )
            for first in [True] + [False] * (layers - 1)
        )

    def forward(self, x: Tensor, label: Tensor | None = None, context: Tensor | None = None) -> Tensor:
        return self.run_horizontal(x, self.run_vertical(x, context), label)

    def run_vertical(self, x: Tensor, context: Tensor | None = None) -> list[Tensor]:
        """Return the vertical stack's links to the horizontal one, (B, 2 width, H, W) a layer."""
        links = []
        for layer in self.layers:
            x, link = layer.run_vertical(x, context)
            links.append(link)
        return links

    def run_horizontal(self, x: Tensor, links: list[Tensor], label: Tensor | None = None) -> Tensor:
        """Return the features (B, width, H, W), given the links of the vertical stack."""
        out = torch.zeros((), dtype=x.dtype, device=x.device)
        for layer, link in zip(self.layers, links, strict=True):
            x, part = layer.run_horizontal(x, link, label)
            out = out + part
        return out

    @torch.no_grad()
    def scan(
        self,
        n: int,
        size: tuple[int, int],
        choose: Callable[[Tensor, int, int], Tensor],
        label: Tensor | None = None,
        context: Tensor | None = None,
    ) -> None:
        """Fill n grids of `size` position by position, in raster order.

        `choose(features (n, width), row, column)` returns the position's value as the stack reads it, (n, inputs).
        """
        state = ScanState(self, n, size, label)
        for i in range(size[0]):
            state.start_row(i, None if context is None else context[:, :, i].movedim(1, -1))
            for j in range(size[1]):
                state.write(i, j, choose(state.read(j), i, j))


def _matrix(conv: nn.Conv2d) -> Tensor:
    """Weights (O, I, h, w) -> (h w I, O), for windows (h, w, I) laid out as rows."""
    return conv.weight.permute(2, 3, 1, 0).flatten(0, 2).contiguous()


def _bias(conv: nn.Conv2d) -> Tensor:
    assert conv.bias is not None
    return conv.bias


def _gate_halved(state: Tensor) -> Tensor:
    """`gate` of (N, 2C) whose first half is halved already -> (N, C), in place."""
    state[:, : state.shape[1] // 2].tanh_()
    return F.glu(state, 1)


class MatrixLayer:
    """A gated layer as matrices. The argument of the gate's tanh is halved in them: exact, and one pass less."""

    def __init__(self, layer: GatedLayer, label: Tensor | None) -> None:
        self.taps, self.reach, self.first, self.width = layer.taps, layer.reach, layer.first, layer.out.out_channels
        half = layer.link.weight.new_ones(2 * self.width)
        half[: self.width] = 0.5
        self.vertical, self.bias = _matrix(layer.vertical) * half, _bias(layer.vertical) * half
        self.context = None if layer.context is None else _matrix(layer.context) * half
        # Its input, the vertical state, is halved already, which the division undoes
        self.link = _matrix(layer.link) * half / half[:, None]
        self.horizontal, offset = _matrix(layer.horizontal) * half, _bias(layer.horizontal)
        if layer.label is not None and label is not None:
            offset = offset + layer.label(label)
        self.offset = (offset * half).view(-1, 1, 2 * self.width)
        self.out, self.out_bias = _matrix(layer.out), _bias(layer.out)

    def run_vertical(self, window: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Map (n, taps, 2 reach + W, C) to a row of the vertical state (n, W, width) and its link (n, W, 2 width)."""
        columns = window.shape[2] - 2 * self.reach
        # (n, taps, W, 2 reach + 1, C): the window of each column
        near = torch.stack([window[:, :, k : k + columns] for k in range(2 * self.reach + 1)], 3)
        state = torch.addmm(self.bias, near.transpose(1, 2).reshape(len(window) * columns, -1), self.vertical)
        if self.context is not None and context is not None:
            state = torch.addmm(state, context.flatten(0, 1), self.context)
        link = (state @ self.link).view(-1, columns, 2 * self.width) + self.offset  # (n, W, 2 width)
        return _gate_halved(state).view(-1, columns, self.width), link


class ScanState:
    """The cached states of all layers for n grids (height, width) that are filled in raster order."""

    def __init__(self, stack: GatedStack, n: int, size: tuple[int, int], label: Tensor | None) -> None:
        self.layers = [MatrixLayer(layer, label) for layer in stack.layers]
        self.skip = torch.cat([_matrix(layer.skip) for layer in stack.layers])  # (layers * width, width)
        self.skip_bias = torch.stack([_bias(layer.skip) for layer in stack.layers]).sum(0)
        inputs = [stack.inputs, *[stack.width] * (len(self.layers) - 1)]
        zeros = self.skip.new_zeros
        pairs = list(zip(self.layers, inputs, strict=True))
        # What each layer's vertical and horizontal convolution read, in a margin of zeros
        self.rows = [zeros(n, layer.reach + size[0], 2 * layer.reach + size[1], width) for layer, width in pairs]
        self.line = [zeros(n, layer.reach + size[1], width) for layer, width in pairs]
        self.links: list[Tensor] = []

    def start_row(self, i: int, context: Tensor | None) -> None:
        """Compute the vertical stack for row i, each layer's state into the next one's input; `context` (n, W, C)."""
        self.links = []
        for number, layer in enumerate(self.layers, start=1):
            state, link = layer.run_vertical(self.rows[number - 1][:, i : i + layer.taps], context)
            self.links.append(link)
            if number < len(self.layers):
                reach = self.layers[number].reach
                self.rows[number][:, reach + i, reach : reach + state.shape[1]] = state

    def read(self, j: int) -> Tensor:
        """Compute the horizontal stack at column j; returns the features (n, width)."""
        gates = []
        for number, layer in enumerate(self.layers, start=1):
            window = self.line[number - 1][:, j : j + layer.taps]  # (n, taps, C)
            # (n, width)
            state = _gate_halved(torch.addmm(self.links[number - 1][:, j], window.flatten(1), layer.horizontal))
            gates.append(state)
            if number < len(self.layers):
                out = torch.addmm(layer.out_bias, state, layer.out)  # (n, width)
                target = self.line[number][:, self.layers[number].reach + j]
                if layer.first:
                    target.copy_(out)
                else:
                    torch.add(out, window[:, -1], out=target)  # residual
        return torch.addmm(self.skip_bias, torch.cat(gates, 1), self.skip)

    def write(self, i: int, j: int, value: Tensor) -> None:
        """Set the value (n, inputs) of a position."""
        reach = self.layers[0].reach
        self.line[0][:, reach + j] = self.rows[0][:, reach + i, reach + j] = value
