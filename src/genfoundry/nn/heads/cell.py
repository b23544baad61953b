"""Images as grids of cells of 2 x 2 pixels, and an autoregressive head for the values of a cell.

An autoregression over cells has a quarter of the positions, and its layers reach twice as far.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genfoundry.nn.heads.base import upcast
from genfoundry.nn.heads.categorical_sampling import sample_categorical
from genfoundry.types import Draw

SIDE = 2


def fold_cells(x: Tensor, outside: float = 0.0) -> Tensor:
    """Fold (N, C, H, W) into (N, 4C, ceil(H / 2), ceil(W / 2)), channels last; `outside` fills up an odd size."""
    height, width = x.shape[-2:]
    x = F.pad(x, (0, width % SIDE, 0, height % SIDE), value=outside)
    return F.pixel_unshuffle(x, SIDE).contiguous(memory_format=torch.channels_last)  # (N, 4C, h, w)


def unfold_cells(cells: Tensor, size: tuple[int, int]) -> Tensor:
    """Unfold (N, 4C, ...) into the images (N, C, H, W)."""
    return F.pixel_shuffle(cells, SIDE)[..., : size[0], : size[1]]


def cell_order(shape: tuple[int, int, int]) -> Tensor:
    """Return (C H W,) int64 flat positions of an image (C, H, W): cells in raster order, one value after another."""
    channels, height, width = shape
    # float64 holds every position exactly
    position = torch.arange(channels * height * width, dtype=torch.float64).view(1, *shape)
    order = fold_cells(position, outside=-1.0).permute(0, 2, 3, 1).flatten().long()
    return order[order >= 0]


class CellHead(nn.Module):
    """Features (N, width, h, w) and scaled values (N, K, h, w) -> (N, K, h, w, levels) log-probabilities.

    Value k of a cell is given the features and the values before k: a masked layer, and a layer of its own for each.
    """

    mask: Tensor

    def __init__(self, width: int, values: int, levels: int, *, hidden: int) -> None:
        super().__init__()
        self.values, self.levels, self.hidden = values, levels, hidden
        self.base = nn.Conv2d(width, values * hidden, 1)
        self.before = nn.Parameter(torch.zeros(values, hidden, values))
        self.out = nn.Conv2d(values * hidden, values * levels, 1, groups=values)
        earlier = torch.ones(values, values).tril(-1)  # [k, j]: value j comes before value k
        self.register_buffer("mask", earlier.unsqueeze(1), persistent=False)

    def forward(self, features: Tensor, x: Tensor) -> Tensor:
        before = F.conv2d(x, (self.before * self.mask).view(-1, self.values, 1, 1))  # (N, K hidden, h, w)
        out: Tensor = self.out(F.silu(self.base(F.silu(features)) + before))  # (N, K levels, h, w)
        out = out.view(len(out), self.values, self.levels, *out.shape[2:]).movedim(2, -1)  # levels last
        return upcast(out).log_softmax(-1)

    def sample(self, features: Tensor, inside: list[bool], scale: float, draw: Draw) -> tuple[Tensor, Tensor]:
        """Draw the values of a cell.

        Args:
            features: (n, width).
            inside: K flags; a value outside of the image stays 0.
            scale: levels times `scale`, less 1, are in [-1, 1].
            draw: how to draw.

        Returns:
            The values (n, K) int64, and scaled.
        """
        base = self.base(F.silu(features)[:, :, None, None]).view(-1, self.values, self.hidden)  # (n, K, hidden)
        weight = self.out.weight.view(self.values, self.levels, self.hidden)
        bias, before = self.out.bias.view(self.values, self.levels), self.before * self.mask  # type: ignore[union-attr]
        values = torch.zeros(len(features), self.values, dtype=torch.int64, device=features.device)
        x = torch.full_like(base[:, :, 0], -1.0)  # (n, K) of level 0
        for k in range(self.values):
            if inside[k]:
                state = F.silu(base[:, k] + x @ before[k].T)  # (n, hidden)
                logits = torch.addmm(bias[k], state, weight[k].T)  # (n, levels)
                values[:, k] = sample_categorical(logits.log_softmax(-1), draw)
                x[:, k] = values[:, k] * scale - 1.0
        return values, x
