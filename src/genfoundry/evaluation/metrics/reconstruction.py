"""Reconstruction of images by a model with codes: PSNR and SSIM."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genfoundry.evaluation.metric import Metric, Requirement
from genfoundry.evaluation.scores import Outputs, Scores, add_groups
from genfoundry.seeding import derive_seed

if TYPE_CHECKING:
    from genfoundry.evaluation.context import EvalContext

ITEMS = 250  # of test


def reconstruct(model: Any, context: EvalContext) -> Outputs:
    """ "original" and "reconstructed" (n, C, H, W), and which items they are, "reconstructed_index" (n,)."""
    import torch

    from genfoundry.data.iterate import EVAL_BATCH, iter_batches, sample_indices

    split = context.split
    if len(split.spec.shape) != 3:
        return {}
    index, clean, made = sample_indices(split, min(ITEMS, len(split))), [], []
    for i, batch in enumerate(iter_batches(split, index, EVAL_BATCH)):
        torch.manual_seed(derive_seed(context.seed, split.name, "reconstruct", i))
        clean.append(batch.x.cpu())
        made.append(model.reconstruct(batch.to(model.device)).cpu())
    return {"original": torch.cat(clean), "reconstructed": torch.cat(made), "reconstructed_index": index}


def score_reconstructions(outputs: Outputs, context: EvalContext) -> Scores:
    """ "reconstruct_psnr" and "reconstruct_ssim" (n,)."""
    from genfoundry.evaluation.inverse_problem import image_quality

    if "reconstructed" not in outputs:
        return {}
    split = context.split
    quality = image_quality(outputs["reconstructed"], outputs["original"], split.spec.levels or 256)
    scores = {f"reconstruct_{name}": values for name, values in quality.items()}
    return add_groups(scores, split, outputs["reconstructed_index"])


RECONSTRUCT = Requirement(
    "reconstruction",
    ("Reconstructs",),
    lambda model, judge: "not finite" if hasattr(model, "reconstruct") else "does not reconstruct",
)
METRICS = tuple(
    Metric(
        name=f"reconstruct_{quality}",
        title=f"reconstruction {quality.upper()}",
        unit=unit,
        direction="maximize",
        description=f"{quality.upper()} of reconstructions",
        requires=RECONSTRUCT,
        group="restoration",
        inputs=(f"reconstruct_{quality}",),
        column=False,
        test_only=True,
        predict=reconstruct,
        score=score_reconstructions,
    )
    for quality, unit in (("psnr", "dB"), ("ssim", "of 1"))
)
