"""Trivial models of video: the last frame again, pixels counted by what is around them, independent pixels, xz."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from genfoundry.data.iterate import iter_batches, sample_indices, stack_values
from genfoundry.evaluation.baselines import compressors
from genfoundry.evaluation.baselines.base import Known, Row, nats
from genfoundry.evaluation.baselines.independent_pixels import Pixels
from genfoundry.evaluation.baselines.pixel_contexts import ABOVE, LAST, MOST, PAST, Counted
from genfoundry.evaluation.predictions import Answers
from genfoundry.seeding import derive_seed

if TYPE_CHECKING:
    from genfoundry.splits import Split


def anchors(known: Known) -> list[Row]:
    """The last frame that is given, again and again, with the chance that a pixel changes from one to the next."""
    if known.train.spec.cond_shape is None or known.train.spec.levels is None:
        return []
    chance = Counted(known.train, LAST)

    def copy(split: Split) -> Answers:
        last = [
            b.cond[:, -1:]
            for b in iter_batches(split, sample_indices(split, known.sizes[split.name]))
            if b.cond is not None
        ]
        return {**chance.answers(split), "samples": torch.cat(last).expand(-1, *split.spec.shape)}

    return [Row("copy-last-frame", "baseline", "exact", copy)]


def rows(known: Known) -> list[Row]:
    """Those, real videos against others, pixels counted by their own frame (and the last), independent pixels, xz."""
    train, levels = known.train, known.train.spec.levels

    def real(split: Split) -> Answers:
        index = sample_indices(split, known.sizes[split.name])
        return {"samples": torch.cat([b.x for b in iter_batches(split, index)]).roll(1, 0)}

    found = [*anchors(known), Row("real-against-real", "floor", "none", real)]
    if levels is None:
        return found
    if levels ** len(ABOVE) <= MOST:
        found.append(Row("without-the-past", "baseline", "exact", Counted(train, ABOVE).answers))
    if levels ** len(PAST) <= MOST and train.spec.cond_shape is not None:
        found.append(Row("last-frame-and-above", "baseline", "exact", Counted(train, PAST).answers))
    independent = Pixels(stack_values(train), levels)

    def guess(split: Split) -> Answers:
        drawn = independent.sample(known.sizes[split.name], derive_seed(known.seed, "pixels", split.name))
        nll = torch.from_numpy(independent.nll(stack_values(split)))
        return {"nll": nll, "samples": torch.from_numpy(drawn).reshape(-1, *split.spec.shape)}

    found.append(Row("independent-pixels", "baseline", "exact", guess))
    return [*found, Row("xz", "compressor", "bound", lambda s: nats(compressors.whole(stack_values(s), levels)))]
