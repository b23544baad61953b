"""Video prediction: how near the frames that a model draws after the given ones come to those that followed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from genfoundry.evaluation import plots
from genfoundry.evaluation.metric import Draw, Metric
from genfoundry.evaluation.metrics.frechet import SAMPLES
from genfoundry.evaluation.scores import Outputs, Scores, add_groups
from genfoundry.seeding import derive_seed

if TYPE_CHECKING:
    from genfoundry.evaluation.context import EvalContext

SHOWN = 12  # videos in a picture
BEST = 100.0  # dB, of a copy


def continue_videos(model: Any, context: EvalContext) -> Outputs:
    """ "samples" (n, T, C, H, W): frames drawn after the given ones of n items; "given" (n, P, C, H, W)."""
    import torch

    from genfoundry.data.iterate import EVAL_BATCH, iter_batches, sample_indices

    split = context.split
    if len(split.spec.shape) != 4:
        return {}
    parts, given = [], []
    for i, batch in enumerate(iter_batches(split, sample_indices(split, context.samples), EVAL_BATCH)):
        torch.manual_seed(derive_seed(context.seed, split.name, "continued", i))
        parts.append(model.sample(len(batch), batch.to(model.device).cond).cpu())
        given.append(batch.x[:, :0] if batch.cond is None else batch.cond)  # (B, P, C, H, W)
    return {"samples": torch.cat(parts), "given": torch.cat(given)}


def score_frames(outputs: Outputs, context: EvalContext) -> Scores:
    """ "continued_psnr" (n,) dB of videos (n, T, C, H, W), each against the item whose given frames it continues."""
    from genfoundry.data.iterate import sample_indices, sample_items

    split = context.split
    if "samples" not in outputs or len(split.spec.shape) != 4:
        return {}
    drawn, top = outputs["samples"], 255 if split.spec.levels is None else split.spec.levels - 1
    gap = (drawn.cpu().double() - sample_items(split, len(drawn)).cpu().double()).div(top).square().flatten(1).mean(1)
    with np.errstate(divide="ignore"):
        psnr = (-10 * np.log10(gap.numpy())).clip(max=BEST)
    return add_groups({"continued_psnr": psnr}, split, sample_indices(split, len(drawn)))


def plot_videos(outputs: Outputs, context: EvalContext) -> dict[str, Draw]:
    """A row a video: given frames, those that are drawn, those that followed; and the drawn ones alone."""
    from genfoundry.data.iterate import sample_items

    if "given" not in outputs:
        return {}
    split, drawn = context.split, outputs["samples"]
    strips = [outputs["given"][:SHOWN].cpu(), drawn[:SHOWN], sample_items(split, len(drawn))[:SHOWN].cpu()]
    draw = partial(plots.write_strips, levels=split.spec.levels)
    return {
        "continued": partial(draw, videos=[s.numpy() for s in strips]),
        "samples": partial(draw, videos=[drawn[:SHOWN].numpy()]),
    }


METRICS = (
    Metric(
        name="continued_psnr",
        title="continued PSNR",
        unit="dB",
        direction="maximize",
        description="frames drawn after the given",
        requires=SAMPLES,
        group="samples",
        inputs=("continued_psnr",),
        modalities=("video",),
        test_only=True,
        predict=continue_videos,
        score=score_frames,
        plots=plot_videos,
    ),
)
