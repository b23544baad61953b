"""Nearer bounds on the likelihood, and reconstructions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from genfoundry.data.iterate import EVAL_BATCH, iter_batches, sample_indices
from genfoundry.evaluation.groups import grouped
from genfoundry.evaluation.predictions import Scores, restoration
from genfoundry.models.abilities import Reconstructs, Tightens
from genfoundry.models.base import Learner
from genfoundry.seeding import derive_seed

if TYPE_CHECKING:
    from genfoundry.evaluation.context import Bench

RECONSTRUCTED = 250  # items of test


def tightened(model: Learner, bench: Bench, seed: int) -> Scores:
    """`bound_gap` (n,): by how many nats the importance-weighted bound is below the reported one, on some items."""
    if not isinstance(model, Tightens) or "nll" not in bench.found:
        return {}
    index, parts = sample_indices(bench.split, min(bench.bound.items, len(bench.split))), []
    for i, batch in enumerate(iter_batches(bench.split, index, EVAL_BATCH)):
        torch.manual_seed(derive_seed(seed, bench.split.name, "bound", i))
        parts.append(model.bound(batch.to(model.device), bench.bound.k).cpu().double())
    gap = (bench.found["nll"][index].double() - torch.cat(parts)).numpy()
    return grouped({"bound_gap": gap}, bench.split, index)


def reconstructed(model: Learner, bench: Bench, seed: int) -> Scores:
    """`reconstruct_psnr`, `reconstruct_ssim` (n,) of images."""
    if not isinstance(model, Reconstructs) or len(bench.split.spec.shape) != 3:
        return {}
    index, clean, made = sample_indices(bench.split, min(RECONSTRUCTED, len(bench.split))), [], []
    for i, batch in enumerate(iter_batches(bench.split, index, EVAL_BATCH)):
        torch.manual_seed(derive_seed(seed, bench.split.name, "reconstruct", i))
        clean.append(batch.x.cpu())
        made.append(model.reconstruct(batch.to(model.device)).cpu())
    found = restoration.quality(torch.cat(made), torch.cat(clean), bench.split.spec.levels or 256)
    return grouped({f"reconstruct_{name}": values for name, values in found.items()}, bench.split, index)
