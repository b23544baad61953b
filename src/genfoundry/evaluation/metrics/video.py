"""Video: how near the frames that a model draws after the given ones come to those that followed, as strips too."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from genfoundry.data.iterate import EVAL_BATCH, iter_batches, sample_indices, sample_items
from genfoundry.evaluation import plots
from genfoundry.evaluation.groups import grouped
from genfoundry.evaluation.predictions import Scores
from genfoundry.models.base import GenerativeModel, Learner
from genfoundry.seeding import derive_seed

if TYPE_CHECKING:
    from genfoundry.evaluation.context import Bench
    from genfoundry.splits import Split

SHOWN = 12  # videos in a picture
BEST = 100.0  # dB, of a copy


def continued(model: Learner, bench: Bench, seed: int, n: int) -> Scores:
    """`continued_psnr` (n,) of frames drawn after the given ones of n items; {} for anything but video."""
    if not isinstance(model, GenerativeModel) or len(bench.split.spec.shape) != 4:
        return {}
    parts, given = [], []
    for i, batch in enumerate(iter_batches(bench.split, sample_indices(bench.split, n), EVAL_BATCH)):
        torch.manual_seed(derive_seed(seed, bench.split.name, "continued", i))
        moved = batch.to(model.device)
        parts.append(model.sample(len(batch), moved.cond).cpu())
        given.append(batch.x[:, :0] if batch.cond is None else batch.cond)
    drawn, levels = torch.cat(parts), bench.split.spec.levels
    strips = [torch.cat(given)[:SHOWN].cpu(), drawn[:SHOWN], sample_items(bench.split, n)[:SHOWN].cpu()]
    bench.drawings["continued"] = partial(plots.write_strips, videos=[s.numpy() for s in strips], levels=levels)
    bench.drawings["samples"] = partial(plots.write_strips, videos=[drawn[:SHOWN].numpy()], levels=levels)
    return compared(drawn, bench.split)


def compared(drawn: Tensor, split: Split) -> Scores:
    """`continued_psnr` (n,): dB of videos (n, T, C, H, W), each against the item whose given frames it goes on from."""
    top = 255 if split.spec.levels is None else split.spec.levels - 1
    gap = (
        (drawn.cpu().double() - sample_items(split, len(drawn)).cpu().double())
        .div(top)
        .square()
        .flatten(1)
        .mean(1)
        .numpy()
    )
    with np.errstate(divide="ignore"):
        psnr = (-10 * np.log10(gap)).clip(max=BEST)
    return grouped({"continued_psnr": psnr}, split, sample_indices(split, len(drawn)))
