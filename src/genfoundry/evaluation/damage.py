"""What is done to images that are to be restored or completed."""

from __future__ import annotations

import torch
from torch import Tensor

from genfoundry.nn.conv.corruption import LEVELS
from genfoundry.seeding import derive_seed

SIGMA, SALT, MISSING = (LEVELS[damage] for damage in ("gaussian", "salt_pepper", "mask"))


def damaged(x: Tensor, damage: str, levels: int, of: str = "") -> tuple[Tensor, Tensor | None]:
    """Damaged images (float32), and where values are known (bool, like x) if the damage says so; noise counted by `of`.

    `gaussian` noise is not clipped; a missing value is 0; `complete` misses the lower half.
    """
    draw = torch.Generator().manual_seed(derive_seed("damage", damage, of))
    values, top = x.cpu().float(), levels - 1
    if damage == "gaussian":
        return values + SIGMA * top * torch.randn(values.shape, generator=draw), None
    if damage == "salt_pepper":
        hit = torch.rand(values.shape, generator=draw)
        return torch.where(hit < SALT / 2, 0.0, torch.where(hit < SALT, float(top), values)), None
    known = torch.ones_like(values, dtype=torch.bool)
    if damage == "mask":
        known = (torch.rand((len(x), 1, *x.shape[2:]), generator=draw) >= MISSING).expand_as(values)
    else:
        known[..., x.shape[-2] // 2 :, :] = False
    return values * known, known
