"""Differentiable augmentation of what a critic sees (DiffAugment: Zhao et al. 2020, arXiv:2006.10738).

Real and generated images are changed alike, at random, and the generator's gradient passes through. A critic of few
images then cannot learn them by heart, and the generator does not learn the changes, as it would if real images alone
were changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from genfoundry.errors import UserError

REACH = 0.125  # of the side: how far an image moves
SQUARE = 0.5  # of the side: what is cut out


def augment(x: Tensor, policy: tuple[str, ...]) -> Tensor:
    """Change each image at random, by the global generator, in the order of `policy`.

    Args:
        x: (B, C, H, W) in [-1, 1]; colours may leave this range.
        policy: of "color", "translation", "cutout"; () changes nothing.

    Raises:
        UserError: there is no such change.
    """
    for name in policy:
        if name not in POLICIES:
            raise UserError(f"augmentation: expected names of {', '.join(POLICIES)}, got {name!r}")
        x = POLICIES[name](x)
    return x


def vary_color(x: Tensor) -> Tensor:
    """Add up to half of the range's half, scale saturation by 0 to 2 and contrast by 0.5 to 1.5, in this order."""
    x = x + (_uniform(x) - 0.5)
    if x.shape[1] > 1:
        x = _scale_about(x, x.mean(1, keepdim=True), 2 * _uniform(x))
    return _scale_about(x, x.mean((1, 2, 3), keepdim=True), _uniform(x) + 0.5)


def translate(x: Tensor) -> Tensor:
    """Move each image by up to an eighth of its side, up or down and left or right; what comes in is 0, mid-grey."""
    n, _, height, width = x.shape
    rows, columns = _shifted_index(height, x), _shifted_index(width, x)  # (B, H), (B, W)
    item = torch.arange(n, device=x.device)[:, None, None]
    # Advanced indices around a slice put the channels last: (B, H, W, C), and back in channels-last memory
    moved = x[item, :, rows.clamp(0, height - 1)[:, :, None], columns.clamp(0, width - 1)[:, None, :]].movedim(-1, 1)
    inside = _in_range(rows, height)[:, :, None] & _in_range(columns, width)[:, None, :]  # (B, H, W)
    return moved * inside[:, None]


def cut_out(x: Tensor) -> Tensor:
    """Set a rectangle of half the height and half the width to 0; its centre is anywhere in the image."""
    height, width = x.shape[2:]
    square = _cut_out(height, x)[:, :, None] & _cut_out(width, x)[:, None, :]  # (B, H, W)
    return x * ~square[:, None]


POLICIES: Mapping[str, Callable[[Tensor], Tensor]] = {"color": vary_color, "translation": translate, "cutout": cut_out}


def _uniform(x: Tensor) -> Tensor:
    """(B, 1, 1, 1) draws from [0, 1), one an image."""
    return torch.rand(len(x), 1, 1, 1, dtype=x.dtype, device=x.device)


def _scale_about(x: Tensor, centre: Tensor, factor: Tensor) -> Tensor:
    return (x - centre) * factor + centre


def _shifted_index(size: int, x: Tensor) -> Tensor:
    """(B, size) indices that a moved image's rows or columns are read from; those outside 0..size-1 are empty."""
    reach = int(size * REACH + 0.5)
    shift = torch.randint(-reach, reach + 1, (len(x), 1), device=x.device)
    return torch.arange(size, device=x.device) + shift


def _in_range(index: Tensor, size: int) -> Tensor:
    return (index >= 0) & (index < size)


def _cut_out(size: int, x: Tensor) -> Tensor:
    """Draw (B, size): whether a row or column crosses the rectangle that is cut out."""
    side = int(size * SQUARE + 0.5)
    start = torch.randint(-(side // 2), size - side // 2 + 1 - side % 2, (len(x), 1), device=x.device)
    at = torch.arange(size, device=x.device) - start
    return _in_range(at, side)
