"""Damaged images, what a model makes of them, and how good that is.

Images are (n, C, H, W) levels 0..L-1, as float32 once damaged. PSNR and SSIM are scikit-image's, over the range of L.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genfoundry.data.iterate import iter_batches, sample_indices
from genfoundry.evaluation.damage import damaged
from genfoundry.evaluation.groups import grouped
from genfoundry.evaluation.objectives import DAMAGES
from genfoundry.evaluation.predictions import Answers, Scores, seeded
from genfoundry.models.abilities import Restores

if TYPE_CHECKING:
    from genfoundry.models.base import Learner
    from genfoundry.splits import Split

ITEMS = 100  # images of a split that are restored


def answers(model: Learner, split: Split, needs: Collection[str], samples: int, seed: int) -> Answers:
    """ "restored_<damage>" (n, C, H, W) of what is `posed`, of each damage that is needed and that it can undo."""
    if not isinstance(model, Restores) or len(split.spec.shape) != 3:
        return {}
    restore, due = partial(_restored, model, split), [d for d in model.damages if f"restore_{d}_psnr" in needs]
    return {f"restored_{d}": seeded(seed, split, "restore", 0, restore, d) for d in due}


def _restored(model: Any, split: Split, damage: str) -> Tensor:
    problem = posed(split, damage)
    known = None if problem.known is None else problem.known.to(model.device)
    restored: Tensor = model.restore(problem.x.to(model.device), known)
    return restored.float().cpu()


def scores(
    found: Mapping[str, Tensor], split: Split, judge: Learner | None, real: NDArray[np.generic] | None
) -> Scores:
    """ "restore_<damage>_psnr" and "_ssim" (n,)."""
    out: Scores = {}
    for damage in DAMAGES:
        if f"restored_{damage}" in found:
            out |= posed(split, damage).scores(damage, found[f"restored_{damage}"])
    return out


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
    index = sample_indices(split, min(ITEMS, len(split)))
    clean = torch.cat([b.x for b in iter_batches(split, index)]).cpu()
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
