"""A convolutional image classifier, and its losses: labels, and consistency under augmentation (MixMatch)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genfoundry.errors import UserError
from genfoundry.nn.conv.blocks import conv_bn_relu, halve_size
from genfoundry.types import Spec

FEATURES = 64


def conv_trunk(spec: Spec, width: int) -> tuple[list[nn.Module], int]:
    """Return the layers (B, C, H, W) -> (B, 2 width, H / 8, W / 8), and the number of their outputs an item.

    `width` is the number of channels at half the resolution. The judge and `ConvClassifier` share this network.
    """
    height, breadth = halve_size((spec.shape[1], spec.shape[2]), 3)
    layers: list[nn.Module] = [
        conv_bn_relu(spec.shape[0], width, 2), conv_bn_relu(width, 2 * width, 2),
        conv_bn_relu(2 * width, 2 * width, 1), nn.MaxPool2d(2, ceil_mode=True),
    ]  # fmt: skip
    return layers, 2 * width * height * breadth


class ConvClassifier(nn.Module):
    """Scaled images (B, C, H, W) -> (B, classes) logits.

    Raises:
        UserError: the data have fewer than 2 classes.
    """

    def __init__(self, spec: Spec, width: int) -> None:
        super().__init__()
        if spec.classes < 2:
            raise UserError(f"a classifier: expected data with 2 or more classes, got {spec.classes}")
        layers, outputs = conv_trunk(spec, width)
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(outputs, FEATURES), nn.ReLU())
        self.classes = nn.Linear(FEATURES, spec.classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classes(self.body(x)).float()  # type: ignore[no-any-return]

    def classify_views(self, x: Tensor, augmented: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of both views, from one pass and hence one set of batch statistics."""
        plain, other = self(torch.cat([x, augmented])).chunk(2)  # (B, classes) each
        return plain, other


def augment(x: Tensor, *, shift: float, mirror: bool, erase: float) -> Tensor:
    """Augment each item of (B, C, H, W) at random, with the global generator.

    Args:
        x: images.
        shift: share of the shorter side by which an item moves at most; its border is repeated.
        mirror: whether half of the items are flipped horizontally.
        erase: side of a square that is set to the item's lowest value, as a share of the shorter side.
    """
    n, _, height, width = x.shape
    side = min(height, width)
    reach, half = round(shift * side), round(erase * side / 2)

    def source_index(size: int) -> Tensor:  # (B, size): rows or columns that the moved item is read from
        start = torch.randint(-reach, reach + 1, (n, 1), device=x.device)
        return (torch.arange(size, device=x.device) + start).clamp(0, size - 1)

    def erased_index(size: int) -> Tensor:  # (B, size): whether a row or column crosses the square
        centre = torch.randint(size, (n, 1), device=x.device)
        return (torch.arange(size, device=x.device) - centre).abs() < half

    rows, columns = source_index(height), source_index(width)
    if mirror:
        columns = torch.where(torch.rand(n, 1, device=x.device) < 0.5, columns.flip(1), columns)
    item = torch.arange(n, device=x.device)[:, None, None]  # (B, 1, 1)
    # Advanced indices around a slice put the channels last: (B, H, W, C)
    moved = x[item, :, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)  # channels-last memory
    if half:
        square = (erased_index(height)[:, :, None] & erased_index(width)[:, None, :]).unsqueeze(1)  # (B, 1, H, W)
        moved = torch.where(square, x.amin((1, 2, 3), keepdim=True), moved)
    return moved


def supervised_loss(logits: tuple[Tensor, Tensor], label: Tensor) -> Tensor:
    """Return the cross-entropy, a mean over labelled items (label >= 0) and over both views."""
    count = (label >= 0).sum().clamp_min(1)  # a batch may have no label at all
    total = [F.cross_entropy(view, label, ignore_index=-1, reduction="sum") for view in logits]
    return torch.stack(total).sum() / (2 * count)


@dataclass(frozen=True)
class Mixup:
    """Convex combinations of unlabelled items: `share` (B,) of an item, the rest of the item at index `other` (B,)."""

    share: Tensor
    other: Tensor

    @classmethod
    def draw(cls, unlabelled: Tensor) -> Mixup:
        """Draw pairs; where both are `unlabelled` (B,) the first has a share of at least half, else 1."""
        other = torch.randperm(len(unlabelled), device=unlabelled.device)
        share = 0.5 + 0.5 * torch.rand(len(unlabelled), device=unlabelled.device)
        return cls(torch.where(unlabelled & unlabelled[other], share, 1.0), other)

    def __call__(self, x: Tensor) -> Tensor:
        """Mix (B, ...)."""
        share = self.share.view(-1, *[1] * (x.ndim - 1))
        return share * x + (1 - share) * x[self.other]


def consistency_loss(logits: tuple[Tensor, Tensor], unlabelled: Tensor, mixup: Mixup, temperature: float) -> Tensor:
    """Return the cross-entropy of augmented, mixed unlabelled items from the prediction for the plain items.

    The prediction is sharpened by `temperature` and mixed like the items (MixMatch: Berthelot et al. 2019,
    arXiv:1905.02249); no gradient flows through it.
    """
    plain, augmented = logits
    target = mixup((plain.detach() / temperature).softmax(1))  # (B, classes)
    loss = -(target * augmented.log_softmax(1)).sum(1)
    return (loss * unlabelled).sum() / unlabelled.sum().clamp_min(1)
