"""Memorisation: how near samples come to single training items, against how near new real items come.

Distances are Euclidean over pixels in 0..1, images first averaged down to at most 16 pixels a side. A near-copy lies
at most a third as far from its nearest training item as from its second nearest (Yoon et al. 2023, "Diffusion
probabilistic models generalize when they fail to memorize"), or on one: real items hardly ever do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from genfoundry.evaluation import plots
from genfoundry.evaluation.bootstrap import Estimate, bootstrap_medians, estimate_from_draws, group_shares
from genfoundry.evaluation.metric import Draw, Metric
from genfoundry.evaluation.metrics.frechet import SAMPLES, draw_samples
from genfoundry.evaluation.scores import Outputs, Scores, add_groups, with_ids

if TYPE_CHECKING:
    from torch import Tensor

    from genfoundry.evaluation.context import EvalContext

SIDE = 16  # pixels
ROWS = 256  # queries whose distances to all training items are in memory at once
CLOSE = 1 / 3  # of the second distance
SHOWN = 32  # samples in a picture, the nearest to a training item first


@dataclass(frozen=True)
class Nearest:
    """Of n queries: distances to the nearest and second nearest training item (n,), and the nearest's index (n,)."""

    first: Tensor
    second: Tensor
    index: Tensor

    @property
    def copies(self) -> Tensor:
        """(n,) bool: near-copies of one training item."""
        return (self.first <= CLOSE * self.second) | (self.first == 0)


def shrink(x: Tensor, levels: int | None) -> Tensor:
    """(n, C, H, W) levels or grey values -> (n, P) float32 in 0..1 (real values stay in their own unit)."""
    from torch.nn.functional import avg_pool2d

    x = x.float() / (1 if levels is None else levels - 1)
    factor = -(-max(x.shape[-2:]) // SIDE)
    return (avg_pool2d(x, factor, ceil_mode=True) if factor > 1 else x).flatten(1)


def find_nearest(queries: Tensor, train: Tensor) -> Nearest:
    """The nearest of `train` (N >= 2, P) to each of `queries` (n, P); both on one device."""
    import torch

    centre = train.mean(0)
    # Centred: |b|^2 - 2 a.b loses the digits that a common offset takes
    train, queries = train - centre, queries - centre
    lengths = train.square().sum(1)
    distances, indices = [], []
    for part in torch.split(queries, ROWS):
        rough = lengths - 2 * part @ train.T  # less |query|^2, which orders nothing
        index = rough.topk(min(4, len(train)), dim=1, largest=False).indices  # rounding may swap near neighbours
        exact = (part[:, None] - train[index]).square().sum(2).sqrt()  # (rows, 4)
        best = exact.topk(2, dim=1, largest=False)
        distances.append(best.values)
        indices.append(index.gather(1, best.indices[:, :1]))
    both = torch.cat(distances)  # (n, 2)
    return Nearest(both[:, 0], both[:, 1], torch.cat(indices)[:, 0])


def _nearest_to(context: EvalContext, x: Tensor, levels: int | None) -> Nearest:
    import torch

    from genfoundry.data.iterate import iter_batches

    train = context.once("shrunk training items", lambda: torch.cat([
        shrink(b.x, context.train.spec.levels) for b in iter_batches(context.train)]))  # fmt: skip
    return find_nearest(shrink(x, levels).to(train.device), train)


def score_nearest(outputs: Outputs, context: EvalContext) -> Scores:
    """ "near" and "near_real" (n,): distances of samples and of real items to the nearest training item; "copies"."""
    from genfoundry.data.iterate import sample_indices, sample_items

    split = context.split
    if "samples" not in outputs or len(split.spec.shape) != 3 or len(context.train) < 2:
        return {}
    near = _nearest_to(context, outputs["samples"], split.spec.levels)
    n = len(near.first)

    def compute() -> Scores:
        return {"near": _nearest_to(context, sample_items(split, n), split.spec.levels).first.cpu().double().numpy()}

    real = np.asarray(context.cached(f"near {split.name} {n}", compute)["near"])
    ours = {"near": near.first.cpu().double().numpy(), "copies": near.copies.cpu().double().numpy()}
    return ours | add_groups({"near_real": real}, split, sample_indices(split, n))


def plot_nearest(outputs: Outputs, context: EvalContext) -> dict[str, Draw]:
    """Pairs of a sample and its nearest training item, the nearest first."""
    import torch

    if "samples" not in outputs or len(context.split.spec.shape) != 3 or len(context.train) < 2:
        return {}
    drawn, near = outputs["samples"], _nearest_to(context, outputs["samples"], context.split.spec.levels)
    closest = near.first.argsort()[:SHOWN].cpu()
    twins = context.train.eval_batch(near.index.cpu()[closest]).x.cpu()
    sheet = torch.stack([drawn[closest].to(twins.dtype), twins], 1).flatten(0, 1)
    return {"closest": partial(plots.write_grid, images=sheet.numpy(), levels=context.split.spec.levels, columns=8)}


def compare_medians(scores: Scores, dims: int) -> dict[str, Estimate]:
    """The median distance of samples over that of real items; the draws resample both."""
    (ours, our_ids), (theirs, their_ids) = with_ids(scores, "near"), with_ids(scores, "near_real")
    below, n = float(np.median(theirs)), min(len(ours), len(theirs))
    if not below:
        return {"nearest": Estimate(math.nan, n, n)}
    # A resampled median may be 0
    drawn = bootstrap_medians("near", ours, our_ids) / np.maximum(
        bootstrap_medians("near_real", theirs, their_ids), 1e-12
    )
    # The sample of fewer groups is the one that bounds the precision
    shares = min((group_shares(our_ids, len(ours)), group_shares(their_ids, len(theirs))), key=len)
    return {"nearest": estimate_from_draws(float(np.median(ours)) / below, drawn, n, shares)}


_SHARED: dict[str, Any] = {
    "requires": SAMPLES,
    "group": "samples",
    "test_only": True,
    "predict": draw_samples,
    "score": score_nearest,
    "plots": plot_nearest,
}
METRICS = (
    Metric(
        name="nearest",
        title="nearest",
        unit="",
        direction="ideal",
        ideal=1.0,
        description="median distance of samples to the nearest training item / that of test items",
        inputs=("near", "near_real"),
        statistics=compare_medians,
        **_SHARED,
    ),
    Metric(
        name="copies",
        title="copies",
        unit="share",
        direction="minimize",
        description="share of samples that are nearly one training item",
        inputs=("copies",),
        **_SHARED,
    ),
)
