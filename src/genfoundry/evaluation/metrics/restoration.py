"""Restoration of damaged images: PSNR of what a model makes of them (`restoration_ssim` has SSIM and the pictures)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from genfoundry.evaluation.metric import Metric, Requirement
from genfoundry.evaluation.scores import Outputs, Scores
from genfoundry.seeding import derive_seed

if TYPE_CHECKING:
    from genfoundry.evaluation.context import SplitContext
    from genfoundry.evaluation.inverse_problem import InverseProblem
    from genfoundry.models.base import Hyper

DAMAGES = {  # what `inverse_problem.corrupt` does to images
    "gaussian": "noise of sigma 0.5 removed",
    "salt_pepper": "a fifth of the values black or white",
    "mask": "half of the pixels missing",
}


def restore(model: Any, context: SplitContext) -> Outputs:
    """ "restored_<damage>" (n, C, H, W) of each damage that the model can undo."""
    import torch

    from genfoundry.evaluation.inverse_problem import pose_problem

    split, outputs = context.split, {}
    for damage in model.damages if len(split.spec.shape) == 3 else ():
        problem = pose_problem(split, damage)
        mask = None if problem.mask is None else problem.mask.to(model.device)
        torch.manual_seed(derive_seed(context.seed, split.name, "restore", 0))
        outputs[f"restored_{damage}"] = model.restore(problem.x.to(model.device), mask).float().cpu()
    return outputs


def restored_problems(outputs: Outputs, context: SplitContext) -> Iterator[tuple[str, InverseProblem]]:
    """Yield the name of each damage that was restored, and its inverse problem."""
    from genfoundry.evaluation.inverse_problem import pose_problem

    for damage in DAMAGES:
        if f"restored_{damage}" in outputs:
            yield damage, pose_problem(context.split, damage)


def score_restorations(outputs: Outputs, context: SplitContext) -> Scores:
    """ "restore_<damage>_psnr" and "_ssim" (n,)."""
    scores: dict[str, Any] = {}
    for damage, problem in restored_problems(outputs, context):
        scores |= problem.score(damage, outputs[f"restored_{damage}"])
    return scores


def _learns_to_undo(config: Hyper | None, *, damage: str) -> bool:
    from genfoundry.models.abilities import get_damages

    return config is not None and damage in get_damages(config)


def describe_restoration(damage: str, quality: str, unit: str, **more: Any) -> Metric:
    """The metric of a damage and a measure of quality, "psnr" or "ssim"."""
    name = f"restore_{damage}_{quality}"
    return Metric(
        name=name,
        title=f"restore {damage.replace('_', ' ')} {quality.upper()}",
        unit=unit,
        direction="maximize",
        description=f"{quality.upper()}, {DAMAGES[damage]}",
        requires=Requirement(
            "restoration",
            ("Restores",),
            lambda model, judge: "does not restore",
            "does not restore",
            configured=partial(_learns_to_undo, damage=damage),
        ),
        group="restoration",
        inputs=(name,),
        predict=restore,
        score=score_restorations,
        **more,
    )


METRICS = tuple(describe_restoration(damage, "psnr", "dB", objective=True) for damage in DAMAGES)
