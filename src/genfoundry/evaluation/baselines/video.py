"""Baselines of video: the last frame again, context models of pixels, independent pixels, xz."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from genfoundry.data.iterate import iter_batches, sample_indices, stack_values
from genfoundry.evaluation.baselines.base import Baseline, BaselineInputs, nll_from_bits
from genfoundry.evaluation.baselines.compressors import xz_bits
from genfoundry.evaluation.baselines.independent_pixels import IndependentPixels, as_baseline
from genfoundry.evaluation.baselines.pixel_contexts import ABOVE, LAST, MAX_CONTEXTS, PAST, ContextModel
from genfoundry.evaluation.scores import Outputs

if TYPE_CHECKING:
    from genfoundry.splits import Split


def fit_anchors(inputs: BaselineInputs) -> list[Baseline]:
    """The last given frame again and again; its likelihood has the chance that a pixel changes between frames."""
    if inputs.train.spec.cond_shape is None or inputs.train.spec.levels is None:
        return []
    changes = ContextModel(inputs.train, LAST)

    def repeat_last(split: Split) -> Outputs:
        items = iter_batches(split, sample_indices(split, inputs.sample_counts[split.name]))
        last = torch.cat([b.cond[:, -1:] for b in items if b.cond is not None])  # (n, 1, C, H, W)
        return {**changes.predict(split), "samples": last.expand(-1, *split.spec.shape)}

    return [Baseline("copy-last-frame", "baseline", "exact", repeat_last)]


def fit_baselines(inputs: BaselineInputs) -> list[Baseline]:
    """The anchor, real videos against others, pixels given their own frame (and the last), independent pixels, xz."""
    train, levels = inputs.train, inputs.train.spec.levels

    def draw_real(split: Split) -> Outputs:
        index = sample_indices(split, inputs.sample_counts[split.name])
        # Moved on by one, so that no item is compared with itself
        return {"samples": torch.cat([b.x for b in iter_batches(split, index)]).roll(1, 0)}

    baselines = [*fit_anchors(inputs), Baseline("real-against-real", "floor", "none", draw_real)]
    if levels is None:
        return baselines
    if levels ** len(ABOVE) <= MAX_CONTEXTS:
        baselines.append(Baseline("without-the-past", "baseline", "exact", ContextModel(train, ABOVE).predict))
    if levels ** len(PAST) <= MAX_CONTEXTS and train.spec.cond_shape is not None:
        baselines.append(Baseline("last-frame-and-above", "baseline", "exact", ContextModel(train, PAST).predict))
    baselines.append(as_baseline(IndependentPixels(stack_values(train), levels), inputs))
    return [
        *baselines,
        Baseline("xz", "compressor", "bound", lambda s: nll_from_bits(xz_bits(stack_values(s), levels))),
    ]
