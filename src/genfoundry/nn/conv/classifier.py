"""A convolutional classifier of images, and what it learns from: labels, and agreement with itself."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genfoundry.errors import UserError
from genfoundry.nn.conv.blocks import halved, stage
from genfoundry.types import Spec

FEATURES = 64


class Recogniser(nn.Module):
    """(B, C, H, W), scaled -> (B, classes) logits. `width`: channels at half the resolution, doubled below."""

    def __init__(self, spec: Spec, width: int) -> None:
        super().__init__()
        if spec.classes < 2:
            raise UserError(f"a classifier wants 2 or more classes; these data have {spec.classes}")
        height, breadth = halved((spec.shape[1], spec.shape[2]), 3)
        self.body = nn.Sequential(
            stage(spec.shape[0], width, 2), stage(width, 2 * width, 2), stage(2 * width, 2 * width, 1),
            nn.MaxPool2d(2, ceil_mode=True), nn.Flatten(), nn.Linear(2 * width * height * breadth, FEATURES), nn.ReLU(),
        )  # fmt: skip
        self.classes = nn.Linear(FEATURES, spec.classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classes(self.body(x)).float()  # type: ignore[no-any-return]

    def both(self, x: Tensor, changed: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the items as they are and changed, in one pass, hence under one set of batch statistics."""
        plain, other = self(torch.cat([x, changed])).chunk(2)
        return plain, other


def varied(x: Tensor, *, shift: float, mirror: bool, erase: float) -> Tensor:
    """(B, C, H, W), each item moved by up to `shift` of the shorter side, its border repeated; mirrored at random with
    `mirror`; and a square of `erase` of that side in its lowest value. All from the global generator.
    """
    n, _, height, width = x.shape
    side = min(height, width)
    reach, half = round(shift * side), round(erase * side / 2)

    def places(size: int) -> Tensor:  # (B, size): where the moved item's rows (columns) come from
        start = torch.randint(-reach, reach + 1, (n, 1), device=x.device)
        return (torch.arange(size, device=x.device) + start).clamp(0, size - 1)

    def inside(size: int) -> Tensor:  # (B, size): whether a row (column) crosses the square
        centre = torch.randint(size, (n, 1), device=x.device)
        return (torch.arange(size, device=x.device) - centre).abs() < half

    rows, columns = places(height), places(width)
    if mirror:
        columns = torch.where(torch.rand(n, 1, device=x.device) < 0.5, columns.flip(1), columns)
    item = torch.arange(n, device=x.device)[:, None, None]
    moved = x[item, :, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)  # channels-last memory
    if half:
        square = (inside(height)[:, :, None] & inside(width)[:, None, :]).unsqueeze(1)
        moved = torch.where(square, x.amin((1, 2, 3), keepdim=True), moved)
    return moved


def supervised(logits: tuple[Tensor, Tensor], label: Tensor) -> Tensor:
    """Cross entropy of items with a label (not -1), the mean over them and over both of their views."""
    known = (label >= 0).sum().clamp_min(1)
    total = [F.cross_entropy(part, label, ignore_index=-1, reduction="sum") for part in logits]
    return torch.stack(total).sum() / (2 * known)


@dataclass(frozen=True)
class Blend:
    """Which items are laid over one another: `share` (B,) of an item itself, the rest of the item at `other` (B,)."""

    share: Tensor
    other: Tensor

    @classmethod
    def draw(cls, hidden: Tensor) -> Blend:
        """Of two items without a label (`hidden` (B,) bool) the first keeps half or more; others stay as they are."""
        other = torch.randperm(len(hidden), device=hidden.device)
        share = 0.5 + 0.5 * torch.rand(len(hidden), device=hidden.device)
        return cls(torch.where(hidden & hidden[other], share, 1.0), other)

    def __call__(self, x: Tensor) -> Tensor:
        """(B, ...) -> the same, blended."""
        share = self.share.view(-1, *[1] * (x.ndim - 1))
        return share * x + (1 - share) * x[self.other]


def consistency(logits: tuple[Tensor, Tensor], hidden: Tensor, blend: Blend, temperature: float) -> Tensor:
    """Cross entropy of varied, blended items without a label from what the network says of them as they are.

    That is sharpened by `temperature` and blended like the items (MixMatch: Berthelot et al. 2019, arXiv:1905.02249);
    no gradient goes through it.
    """
    plain, changed = logits
    target = blend((plain.detach() / temperature).softmax(1))
    each = -(target * changed.log_softmax(1)).sum(1)
    return (each * hidden).sum() / hidden.sum().clamp_min(1)
