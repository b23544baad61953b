"""Gated PixelCNN layers without a blind spot (van den Oord et al. 2016, arXiv:1606.05328).

A vertical stack sees the rows above, a horizontal one what is left in the row, and what the vertical one passes on.
No mask is needed: a convolution sees only earlier positions because its input is padded on that side alone, and the
first layer leaves out the position itself. So no weight is ever multiplied by 0.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genfoundry.nn.autoregressive.cached_pixelcnn import Scan


def gate(x: Tensor) -> Tensor:
    """(B, 2C, H, W) -> (B, C, H, W): tanh(a / 2) sigmoid(b), in one pass since tanh(a / 2) = 2 sigmoid(a) - 1."""
    value, weight = torch.sigmoid(x).chunk(2, dim=1)
    return torch.addcmul(-weight, value, weight, value=2.0)


class GatedLayer(nn.Module):
    """One layer of both stacks: reads `reach` rows above and columns before, and, unless `first`, the position's own.

    `context` (channels of a map that is known beforehand) enters the vertical stack, the class the horizontal one
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

    def below(self, window: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """(B, C, taps - 1 + R, 2 reach + W) -> R rows of the vertical stack, and what the horizontal one gets of it."""
        state = self.vertical(window)
        if self.context is not None and context is not None:
            state = state + self.context(context)
        return gate(state), self.link(state)

    def beside(self, window: Tensor, above: Tensor, label: Tensor | None) -> tuple[Tensor, Tensor]:
        """(B, C, R, taps - 1 + W) -> the horizontal stack (B, width, R, W), and its part of the output."""
        state = self.horizontal(window) + above
        if self.label is not None and label is not None:
            state = state + self.label(label)[:, :, None, None]
        state = gate(state)
        through = self.out(state)
        return (through if self.first else through + window[..., self.reach :]), self.skip(state)


class GatedStack(nn.Module):
    """x (B, inputs, H, W) -> (B, width, H, W); each position knows only positions before it, in raster order.

    `label` (B,) is one of `classes`; `context` (B, context, H, W) is known everywhere.
    """

    def __init__(
        self, inputs: int, width: int, layers: int, *, reach: int = 1, context: int = 0, classes: int = 0
    ) -> None:
        super().__init__()
        self.inputs, self.width = inputs, width
        self.layers: list[GatedLayer] = nn.ModuleList(  # type: ignore[assignment]
            GatedLayer(
                inputs if first else width,
                width,
                reach=reach + first,
                first=first,
                context=context,
                classes=classes,
            )
            for first in [True] + [False] * (layers - 1)
        )

    def forward(self, x: Tensor, label: Tensor | None = None, context: Tensor | None = None) -> Tensor:
        return self.across(x, self.above(x, context), label)

    def above(self, x: Tensor, context: Tensor | None = None) -> list[Tensor]:
        """What the vertical stack tells the horizontal one, (B, 2 width, H, W) a layer."""
        found = []
        for layer in self.layers:
            reach = layer.reach
            above = x[:, :, :-1] if layer.first else x
            x, link = layer.below(F.pad(above, (reach, reach, reach, 0)), context)
            found.append(link)
        return found

    def across(self, x: Tensor, above: list[Tensor], label: Tensor | None = None) -> Tensor:
        """The horizontal stack, given the vertical one."""
        out = torch.zeros((), dtype=x.dtype, device=x.device)
        for layer, link in zip(self.layers, above, strict=True):
            before = x[..., :-1] if layer.first else x
            x, part = layer.beside(F.pad(before, (layer.reach, 0, 0, 0)), link, label)
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
        """Fill n grids position by position; each layer is computed once a position.

        `choose(features (n, width), row, column)` gives the position's value as the stack reads it, (n, inputs).
        """
        grids = Scan(self, n, size, label)
        for i in range(size[0]):
            grids.down(i, None if context is None else context[:, :, i].movedim(1, -1))
            for j in range(size[1]):
                grids.put(i, j, choose(grids.right(j), i, j))
