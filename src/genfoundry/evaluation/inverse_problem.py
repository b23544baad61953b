"""Inverse problems on images: denoising and inpainting, the same items damaged alike for every method.

Images are (n, C, H, W) levels 0..L-1, as float32 once damaged. PSNR and SSIM are scikit-image's, over the range of L.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genfoundry.data.iterate import iter_batches, sample_indices
from genfoundry.evaluation.scores import add_groups
from genfoundry.nn.conv.corruption import LEVELS
from genfoundry.seeding import derive_seed

if TYPE_CHECKING:
    from genfoundry.splits import Split

ITEMS = 100  # images of a split that are restored
DAMAGES = tuple(damage for damage in LEVELS if damage != "none")  # beside "complete": the lower half is missing
RESTORED = {f"restore_{damage}_psnr": damage for damage in DAMAGES}  # an objective -> its damage
SIGMA, SALT, MISSING = (LEVELS[damage] for damage in DAMAGES)


def corrupt(x: Tensor, damage: str, levels: int, name: str = "") -> tuple[Tensor, Tensor | None]:
    """Damage images; return them (float32) and where values are known (bool, like x) if the damage says so.

    `name` seeds the noise. `gaussian` noise is not clipped; a missing value is 0; `complete` misses the lower half.
    """
    draw = torch.Generator().manual_seed(derive_seed("damage", damage, name))
    values, top = x.cpu().float(), levels - 1
    if damage == "gaussian":
        return values + SIGMA * top * torch.randn(values.shape, generator=draw), None
    if damage == "salt_pepper":
        hit = torch.rand(values.shape, generator=draw)
        return torch.where(hit < SALT / 2, 0.0, torch.where(hit < SALT, float(top), values)), None
    mask = torch.ones_like(values, dtype=torch.bool)
    if damage == "mask":
        # A pixel's channels are missing together
        mask = (torch.rand((len(x), 1, *x.shape[2:]), generator=draw) >= MISSING).expand_as(values)
    else:
        mask[..., x.shape[-2] // 2 :, :] = False  # the lower half
    return values * mask, mask


@dataclass(frozen=True)
class InverseProblem:
    """Items of a split (n, C, H, W), the same damaged, and the mask of known values if the damage has one."""

    split: Split
    index: Tensor  # (n,) which items
    clean: Tensor
    x: Tensor
    mask: Tensor | None
    levels: int

    def score(self, damage: str, restored: Tensor) -> dict[str, NDArray[np.generic]]:
        """`restore_<damage>_psnr` and `_ssim` (n,) (`complete_psnr` and `_ssim`), and the groups of the items."""
        name = damage if damage == "complete" else f"restore_{damage}"
        quality = image_quality(restored, self.clean, self.levels)
        return add_groups({f"{name}_{unit}": v for unit, v in quality.items()}, self.split, self.index)

    def sheet(self, restored: Tensor) -> Tensor:
        """Threes: original, damaged, restored."""
        return torch.stack([self.clean.float(), self.x.clamp(0, self.levels - 1), restored.float()], 1).flatten(0, 1)


def pose_problem(split: Split, damage: str) -> InverseProblem:
    """What every method restores of a split: the same items, damaged alike."""
    levels = split.spec.levels or 256
    index = sample_indices(split, min(ITEMS, len(split)))
    clean = torch.cat([b.x for b in iter_batches(split, index)]).cpu()
    return InverseProblem(split, index, clean, *corrupt(clean, damage, levels, split.name), levels)


def image_quality(restored: Tensor, clean: Tensor, levels: int) -> dict[str, NDArray[np.float64]]:
    """`psnr` (n,) in dB and `ssim` (n,) of images against the clean ones; values are clipped to the range first."""
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    top = levels - 1
    truth, made = (x.cpu().double().clamp(0, top).numpy() for x in (clean, restored))
    # SSIM's window is odd, of 7 pixels or as many as the image has
    window = min(7, min(truth.shape[-2:]) - (min(truth.shape[-2:]) + 1) % 2)
    pairs = list(zip(truth, made, strict=True))
    with np.errstate(divide="ignore"):
        psnr = np.array([peak_signal_noise_ratio(x, y, data_range=top) for x, y in pairs])
    ssim = [structural_similarity(x, y, data_range=top, channel_axis=0, win_size=window) for x, y in pairs]
    return {"psnr": psnr.clip(max=100.0), "ssim": np.array(ssim)}  # an exact copy has an infinite PSNR
