"""Restoring damaged images and completing cut ones by classical methods, on (n, C, H, W) levels 0..L-1 as float32."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genfoundry.data.iterate import iter_batches
from genfoundry.evaluation.baselines.fitted_restoration import Learnt
from genfoundry.evaluation.damage import SIGMA
from genfoundry.evaluation.objectives import DAMAGES

if TYPE_CHECKING:
    from genfoundry.splits import Split

Images = NDArray[np.float64]
Method = Callable[[Tensor, Tensor | None, int], Tensor]  # damaged, known, levels -> restored


def classical(train: Split, damage: str) -> dict[str, Method]:
    """The methods for a damage, which a model is compared with."""
    return {name: method for name, (damages, method) in _classical(train, damage).items() if damage in damages}


def _classical(train: Split, damage: str) -> Mapping[str, tuple[tuple[str, ...], Any]]:
    learnt = Learnt(train, damage)

    def filled(x: Tensor, known: Tensor, levels: int) -> Tensor:
        mean = torch.stack([b.x.double().sum(0) for b in iter_batches(train)]).sum(0).float().cpu() / len(train)
        return torch.where(known, x, mean)

    def completed(x: Tensor, known: Tensor, levels: int) -> Tensor:
        items = torch.cat([b.x.cpu() for b in iter_batches(train)]).flatten(1).float()
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
