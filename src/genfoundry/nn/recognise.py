"""A convolutional classifier of images, and what it learns from: labels, and agreement with itself."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genfoundry.nn.conv import halved, stage
from genfoundry.types import Spec, UserError

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

    def both(self, x: Tensor, *, shift: float, mirror: bool, erase: float) -> tuple[Tensor, Tensor]:
        """Logits of the items as they are and varied, in one pass, hence under one set of batch statistics."""
        plain, changed = self(torch.cat([x, varied(x, shift=shift, mirror=mirror, erase=erase)])).chunk(2)
        return plain, changed


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


def consistency(logits: tuple[Tensor, Tensor], label: Tensor, sure: float) -> Tensor:
    """Cross entropy of varied items without a label from the class that the network gives them unvaried.

    Items to which it gives less than `sure` teach nothing (FixMatch: Sohn et al. 2020, arXiv:2001.07685). The mean is
    over all items without a label.
    """
    plain, changed = logits
    certainty, target = plain.detach().softmax(1).max(1)
    hidden = label < 0
    chosen = (hidden & (certainty >= sure)).float()
    return (F.cross_entropy(changed, target, reduction="none") * chosen).sum() / hidden.sum().clamp_min(1)
