"""Classical restoration and inpainting methods, on (n, C, H, W) float32 images of levels 0..L-1."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genfoundry.data.iterate import iter_batches
from genfoundry.evaluation.baselines.fitted_restoration import FittedMethods
from genfoundry.evaluation.inverse_problem import DAMAGES, SIGMA

if TYPE_CHECKING:
    from genfoundry.splits import Split

Images = NDArray[np.float64]
Method = Callable[[Tensor, Tensor | None, int], Tensor]  # damaged, mask of the known pixels, levels -> restored


def restoration_methods(train: Split, damage: str) -> dict[str, Method]:
    """Name -> method, of those for a damage; each is fitted when it is first called."""
    fitted = FittedMethods(train, damage)

    def fill_mean(x: Tensor, mask: Tensor, levels: int) -> Tensor:
        return torch.where(mask, x, sum_items(train).float().cpu() / len(train))

    def fill_from_nearest(x: Tensor, mask: Tensor, levels: int) -> Tensor:
        items = torch.cat([b.x.cpu() for b in iter_batches(train)]).flatten(1).float()  # (N, D)
        seen = mask[0].flatten()  # (D,): the mask is the same for all items
        distances = torch.cdist(x.flatten(1)[:, seen], items[:, seen])  # (n, N)
        return torch.where(mask, x, items[distances.argmin(1)].view_as(x))

    methods: Mapping[str, tuple[tuple[str, ...], Any]] = {
        "identity": (DAMAGES, lambda x, mask, levels: x),
        "median filter": (("gaussian", "salt_pepper"), filter_median),
        "non-local means": (("gaussian",), _filter_non_local_means),
        "wiener filter": (("gaussian", "salt_pepper"), fitted.restore_linear),
        "biharmonic": (("mask",), _inpaint_biharmonic),
        "mean image": (("mask", "complete"), fill_mean),
        "gaussian conditional mean": (("mask", "complete"), fitted.restore_linear),
        "nearest item": (("complete",), fill_from_nearest),
        "k nearest items": ((*DAMAGES, "complete"), fitted.restore_from_neighbours),
    }
    return {name: method for name, (damages, method) in methods.items() if damage in damages}


def sum_items(train: Split) -> Tensor:
    """(*shape) float64: the sum over all training items."""
    return torch.stack([b.x.double().sum(0) for b in iter_batches(train)]).sum(0)


def _map_images(x: Tensor, restore: Callable[[int, Images], Images]) -> Tensor:
    """Restore every image by a function of its index and its values, (H, W, C) float64."""
    images = np.moveaxis(x.double().numpy(), 1, -1)  # (n, H, W, C)
    restored = np.stack([restore(i, image) for i, image in enumerate(images)])
    return torch.from_numpy(np.moveaxis(restored, -1, 1)).float()


def filter_median(x: Tensor, mask: Tensor | None, levels: int) -> Tensor:
    """A median filter of 3 by 3 pixels a channel."""
    from scipy.ndimage import median_filter

    return _map_images(x, lambda i, image: median_filter(image, size=(3, 3, 1)))


def _filter_non_local_means(x: Tensor, mask: Tensor | None, levels: int) -> Tensor:
    """Non-local means (Buades et al. 2005), given the standard deviation of the noise, which a model has to learn."""
    from skimage.restoration import denoise_nl_means

    sigma = SIGMA * (levels - 1)  # in levels
    # The settings of scikit-image's example of this filter
    settings = {"patch_size": 5, "patch_distance": 6, "h": 0.8 * sigma, "sigma": sigma, "channel_axis": -1}
    # scikit-image drops a single channel
    return _map_images(x, lambda i, image: np.asarray(denoise_nl_means(image, **settings)).reshape(image.shape))


def _inpaint_biharmonic(x: Tensor, mask: Tensor, levels: int) -> Tensor:
    from skimage.restoration import inpaint_biharmonic

    missing = ~mask[:, 0].numpy()  # (n, H, W)
    return _map_images(
        x, lambda i, image: np.asarray(inpaint_biharmonic(image / levels, missing[i], channel_axis=-1)) * levels
    )
