"""Restoring damaged images and completing cut ones: the damages, the classical methods, and how good a result is.

Images are (n, C, H, W) levels 0..L-1, as float32 once damaged. PSNR and SSIM are scikit-image's, over the range of L.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genfoundry.baselines.base import batches, chosen
from genfoundry.damage import SIGMA
from genfoundry.damage import damaged as damaged
from genfoundry.groups import grouped
from genfoundry.learnt_restoration import Learnt
from genfoundry.metrics import DAMAGES

if TYPE_CHECKING:
    from genfoundry.data.base import Split

ITEMS = 100  # images of a split that are restored
Images = NDArray[np.float64]


@dataclass(frozen=True)
class Posed:
    """Items of a split (n, C, H, W), the same damaged, and where values are known if the damage says so."""

    split: Split
    index: Tensor  # (n,) which items
    clean: Tensor
    x: Tensor
    known: Tensor | None
    levels: int

    def scores(self, damage: str, restored: Tensor) -> dict[str, NDArray[np.generic]]:
        """`restore_<damage>_psnr` and `_ssim` (n,), `complete_psnr` and `_ssim`, and the groups of the items."""
        name = damage if damage == "complete" else f"restore_{damage}"
        found = quality(restored, self.clean, self.levels)
        return grouped({f"{name}_{unit}": v for unit, v in found.items()}, self.split, self.index)

    def sheet(self, restored: Tensor) -> Tensor:
        """Threes: original, damaged, restored."""
        return torch.stack([self.clean.float(), self.x.clamp(0, self.levels - 1), restored.float()], 1).flatten(0, 1)


def posed(split: Split, damage: str) -> Posed:
    """What everyone restores of a split: the same items, damaged alike."""
    levels = split.spec.levels or 256
    index = chosen(split, min(ITEMS, len(split)))
    clean = torch.cat([b.x for b in batches(split, index)]).cpu()
    return Posed(split, index, clean, *damaged(clean, damage, levels, split.name), levels)


def quality(restored: Tensor, clean: Tensor, levels: int) -> dict[str, NDArray[np.float64]]:
    """`psnr` (n,) in dB and `ssim` (n,) of images against the clean ones; values are clipped to the range first."""
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    top = levels - 1
    a, b = (x.cpu().double().clamp(0, top).numpy() for x in (clean, restored))
    window = min(7, min(a.shape[-2:]) - (min(a.shape[-2:]) + 1) % 2)
    with np.errstate(divide="ignore"):
        psnr = np.array([peak_signal_noise_ratio(x, y, data_range=top) for x, y in zip(a, b, strict=True)])
    ssim = [
        structural_similarity(x, y, data_range=top, channel_axis=0, win_size=window) for x, y in zip(a, b, strict=True)
    ]
    return {"psnr": psnr.clip(max=100.0), "ssim": np.array(ssim)}  # an exact copy has an infinite PSNR


Method = Callable[[Tensor, Tensor | None, int], Tensor]  # damaged, known, levels -> restored


def classical(train: Split, damage: str) -> dict[str, Method]:
    """The methods for a damage, which a model is compared with."""
    return {name: method for name, (damages, method) in _classical(train, damage).items() if damage in damages}


def _classical(train: Split, damage: str) -> Mapping[str, tuple[tuple[str, ...], Any]]:
    learnt = Learnt(train, damage)

    def filled(x: Tensor, known: Tensor, levels: int) -> Tensor:
        mean = torch.stack([b.x.double().sum(0) for b in batches(train)]).sum(0).float().cpu() / len(train)
        return torch.where(known, x, mean)

    def completed(x: Tensor, known: Tensor, levels: int) -> Tensor:
        items = torch.cat([b.x.cpu() for b in batches(train)]).flatten(1).float()
        seen = known[0].flatten()
        gaps = torch.cdist(x.flatten(1)[:, seen], items[:, seen])
        return torch.where(known, x, items[gaps.argmin(1)].view_as(x))

    return {
        "identity": (DAMAGES, lambda x, known, levels: x),
        "median filter": (("gaussian", "salt_pepper"), _median),
        "non-local means": (("gaussian",), _means),
        "wiener filter": (("gaussian", "salt_pepper"), learnt.linear),
        "biharmonic": (("mask",), _biharmonic),
        "mean image": (("mask", "complete"), filled),
        "gaussian conditional mean": (("mask", "complete"), learnt.linear),
        "nearest item": (("complete",), completed),
        "k nearest items": ((*DAMAGES, "complete"), learnt.nearest),
    }


def _each(x: Tensor, call: Callable[[int, Images], Images]) -> Tensor:
    """`call` on every image, (H, W, C) float64."""
    images = np.moveaxis(x.double().numpy(), 1, -1)
    return torch.from_numpy(np.moveaxis(np.stack([call(i, image) for i, image in enumerate(images)]), -1, 1)).float()


def _median(x: Tensor, known: Tensor | None, levels: int) -> Tensor:
    from scipy.ndimage import median_filter

    return _each(x, lambda i, image: median_filter(image, size=(3, 3, 1)))


def _means(x: Tensor, known: Tensor | None, levels: int) -> Tensor:
    from skimage.restoration import denoise_nl_means

    sigma = SIGMA * (levels - 1)  # it is told what a model had to learn

    def one(i: int, image: Images) -> Images:
        how = {"patch_size": 5, "patch_distance": 6, "h": 0.8 * sigma, "sigma": sigma, "channel_axis": -1}
        return np.asarray(denoise_nl_means(image, **how)).reshape(image.shape)  # it drops a single channel

    return _each(x, one)


def _biharmonic(x: Tensor, known: Tensor, levels: int) -> Tensor:
    from skimage.restoration import inpaint_biharmonic

    gone = ~known[:, 0].numpy()
    return _each(x, lambda i, image: np.asarray(inpaint_biharmonic(image / levels, gone[i], channel_axis=-1)) * levels)
