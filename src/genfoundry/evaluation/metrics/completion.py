"""Completion (inpainting) of images: the lower half given the upper one, beside classical methods."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from genfoundry.evaluation import plots
from genfoundry.evaluation.metric import Draw, Metric, Requirement
from genfoundry.evaluation.metrics.restoration_ssim import score_classical
from genfoundry.evaluation.scores import Outputs, Scores, add_groups
from genfoundry.seeding import derive_seed

if TYPE_CHECKING:
    from torch import Tensor

    from genfoundry.evaluation.context import EvalContext
    from genfoundry.evaluation.inverse_problem import InverseProblem

AT_ONCE = 20  # items whose likelihood is computed together: every level of every value may have to be


def complete(model: Any, context: EvalContext) -> Outputs:
    """ "completed" (n, C, H, W), one completion an item, and, of a likelihood, "completion_nats" (n,)."""
    import torch

    from genfoundry.evaluation.inverse_problem import pose_problem
    from genfoundry.models.abilities import Autoregressive

    split = context.split
    # A mixture over orders has no conditionals
    if not getattr(model, "ordered", True) or len(split.spec.shape) != 3:
        return {}
    problem = pose_problem(split, "complete")
    assert problem.mask is not None
    clean, mask = problem.clean.to(model.device), problem.mask.to(model.device)
    torch.manual_seed(derive_seed(context.seed, split.name, "complete"))
    outputs = {"completed": model.complete(clean * mask, mask).cpu()}  # the rest is hidden
    if isinstance(model, Autoregressive):
        parts = zip(torch.split(clean, AT_ONCE), torch.split(mask, AT_ONCE), strict=True)
        outputs["completion_nats"] = torch.cat([missing_nats(model, *part) for part in parts]).cpu().double()
    return outputs


def missing_nats(model: Any, x: Tensor, mask: Tensor) -> Tensor:
    """(B,) nats: -log p(the values of x outside the mask | those in it), the label summed over if there is one.

    p(x) / p(known), and what is known comes first in the model's order, so that its probability is a product too.
    """
    import torch

    from genfoundry.nn.autoregressive.ancestral import joint_log_prob
    from genfoundry.types import Batch

    given, everything = joint_log_prob(model, Batch(x), mask, torch.ones_like(mask))
    return given.logsumexp(1) - everything.logsumexp(1)  # over labels


def _problem(outputs: Outputs, context: EvalContext) -> InverseProblem | None:
    from genfoundry.evaluation.inverse_problem import pose_problem

    return pose_problem(context.split, "complete") if "completed" in outputs else None


def score_completions(outputs: Outputs, context: EvalContext) -> Scores:
    """ "complete_psnr", "complete_ssim" and, of a likelihood, "complete_nats" (n,)."""
    if (problem := _problem(outputs, context)) is None:
        return {}
    scores = problem.score("complete", outputs["completed"])
    if "completion_nats" in outputs:
        scores |= add_groups({"complete_nats": outputs["completion_nats"].numpy()}, problem.split, problem.index)
    return scores


def score_classical_completions(outputs: Outputs, context: EvalContext) -> dict[str, Scores]:
    """Scores of classical methods, by their names."""
    problem = _problem(outputs, context)
    return score_classical(context, "complete", problem) if problem else {}


def plot_completions(outputs: Outputs, context: EvalContext) -> dict[str, Draw]:
    """Threes: what is given, what the model makes of it, what was there."""
    import torch

    if (problem := _problem(outputs, context)) is None:
        return {}
    sheet = torch.stack([problem.x, outputs["completed"].float(), problem.clean.float()], 1).flatten(0, 1)
    return {"completed": partial(plots.write_grid, images=sheet.numpy(), levels=context.split.spec.levels, columns=12)}


def _explain(model: Any, judge: Any) -> str:
    return "does not complete" if getattr(model, "ordered", True) else "a mixture over orders"


def _explain_nats(model: Any, judge: Any) -> str:
    if not getattr(model, "ordered", True):
        return "a mixture over orders"
    return "no likelihood of a part" if hasattr(model, "complete") else "does not complete"


COMPLETE = Requirement("completion", ("Completes",), _explain, "does not complete")
_SHARED: dict[str, Any] = {
    "group": "restoration",
    "column": False,
    "test_only": True,
    "predict": complete,
    "score": score_completions,
    "beside": score_classical_completions,
    "plots": plot_completions,
}
METRICS = (
    *(
        Metric(
            name=f"complete_{quality}",
            title=f"complete {quality.upper()}",
            unit=unit,
            direction="maximize",
            description=f"{quality.upper()}, lower half given the upper",
            requires=COMPLETE,
            inputs=(f"complete_{quality}",),
            **_SHARED,
        )
        for quality, unit in (("psnr", "dB"), ("ssim", "of 1"))
    ),
    Metric(
        name="complete_nats",
        title="completion, nats",
        unit="nats a sample",
        direction="minimize",
        description="negative log-likelihood of the true lower half given the upper",
        requires=Requirement("likelihood of a completion", ("Completes", "Autoregressive"), _explain_nats),
        inputs=("complete_nats",),
        **_SHARED,
    ),
)
