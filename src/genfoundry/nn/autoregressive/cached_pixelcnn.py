"""Gated stacks position by position, each layer computed once a position: what a sample of a PixelCNN costs.

The vertical stack is computed a row at a time, the horizontal one a position at a time, as matrix products on
channels-last states: there a window of neighbours is a row of a matrix without being copied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from genfoundry.nn.autoregressive.gated_pixelcnn import GatedLayer, GatedStack


def matrix(conv: nn.Conv2d) -> Tensor:
    """Weights (O, I, h, w) -> (h w I, O), for windows (h, w, I) laid out as rows."""
    return conv.weight.permute(2, 3, 1, 0).flatten(0, 2).contiguous()


def bias(conv: nn.Conv2d) -> Tensor:
    """(O,) of a convolution that has one."""
    assert conv.bias is not None
    return conv.bias


def gated(state: Tensor) -> Tensor:
    """(N, 2C) with its first half halved -> (N, C): `masked.gate`, in place."""
    state[:, : state.shape[1] // 2].tanh_()
    return F.glu(state, 1)


class Layer:
    """A gated layer as matrices. What the gate takes the tanh of is halved in them: exact, and one pass less."""

    def __init__(self, layer: GatedLayer, label: Tensor | None) -> None:
        self.taps, self.reach, self.first, self.width = layer.taps, layer.reach, layer.first, layer.out.out_channels
        half = layer.link.weight.new_ones(2 * self.width)
        half[: self.width] = 0.5
        self.vertical, self.bias = matrix(layer.vertical) * half, bias(layer.vertical) * half
        self.context = None if layer.context is None else matrix(layer.context) * half
        self.link = matrix(layer.link) * half / half[:, None]
        self.horizontal, told = matrix(layer.horizontal) * half, bias(layer.horizontal)
        if layer.label is not None and label is not None:
            told = told + layer.label(label)
        self.told = (told * half).view(-1, 1, 2 * self.width)
        self.out, self.out_bias = matrix(layer.out), bias(layer.out)

    def below(self, window: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """(n, taps, 2 reach + W, C) -> a row of the vertical stack (n, W, width), and what the horizontal one gets."""
        columns = window.shape[2] - 2 * self.reach
        near = torch.stack([window[:, :, k : k + columns] for k in range(2 * self.reach + 1)], 3)
        state = torch.addmm(self.bias, near.transpose(1, 2).reshape(len(window) * columns, -1), self.vertical)
        if self.context is not None and context is not None:
            state = torch.addmm(state, context.flatten(0, 1), self.context)
        link = (state @ self.link).view(-1, columns, 2 * self.width) + self.told
        return gated(state).view(-1, columns, self.width), link


class Scan:
    """The states of n grids (height, width) that are being filled in raster order."""

    def __init__(self, stack: GatedStack, n: int, size: tuple[int, int], label: Tensor | None) -> None:
        self.layers = [Layer(layer, label) for layer in stack.layers]
        self.skip = torch.cat([matrix(layer.skip) for layer in stack.layers])
        self.skip_bias = torch.stack([bias(layer.skip) for layer in stack.layers]).sum(0)
        inputs = [stack.inputs, *[stack.width] * (len(self.layers) - 1)]
        empty = self.skip.new_zeros
        self.rows = [
            empty(n, layer.reach + size[0], 2 * layer.reach + size[1], width)
            for layer, width in zip(self.layers, inputs, strict=True)
        ]
        self.line = [empty(n, layer.reach + size[1], width) for layer, width in zip(self.layers, inputs, strict=True)]
        self.links: list[Tensor] = []

    def down(self, i: int, context: Tensor | None) -> None:
        """Begin row i: the vertical stack's states, written into what the next layer reads. `context` (n, W, C)."""
        self.links = []
        for number, layer in enumerate(self.layers, start=1):
            state, link = layer.below(self.rows[number - 1][:, i : i + layer.taps], context)
            self.links.append(link)
            if number < len(self.layers):
                reach = self.layers[number].reach
                self.rows[number][:, reach + i, reach : reach + state.shape[1]] = state

    def right(self, j: int) -> Tensor:
        """(n, width): the output at column j; the horizontal states are written into what the next layer reads."""
        gates = []
        for number, layer in enumerate(self.layers, start=1):
            window = self.line[number - 1][:, j : j + layer.taps]
            state = gated(torch.addmm(self.links[number - 1][:, j], window.flatten(1), layer.horizontal))
            gates.append(state)
            if number < len(self.layers):
                through = torch.addmm(layer.out_bias, state, layer.out)
                place = self.line[number][:, self.layers[number].reach + j]
                if layer.first:
                    place.copy_(through)
                else:
                    torch.add(through, window[:, -1], out=place)
        return torch.addmm(self.skip_bias, torch.cat(gates, 1), self.skip)

    def put(self, i: int, j: int, value: Tensor) -> None:
        """The value at a position, (n, inputs)."""
        reach = self.layers[0].reach
        self.line[0][:, reach + j] = self.rows[0][:, reach + i, reach + j] = value
