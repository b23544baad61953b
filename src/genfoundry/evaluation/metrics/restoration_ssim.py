"""Restoration of damaged images: SSIM of what a model makes of them, and classical methods beside it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from genfoundry.evaluation import plots
from genfoundry.evaluation.metric import Draw
from genfoundry.evaluation.metrics.restoration import DAMAGES, describe_restoration, restored_problems
from genfoundry.evaluation.scores import Outputs, Scores

if TYPE_CHECKING:
    from genfoundry.evaluation.context import EvalContext
    from genfoundry.evaluation.inverse_problem import InverseProblem


def score_classical(context: EvalContext, damage: str, problem: InverseProblem) -> dict[str, Scores]:
    """Classical method -> scores of what it makes of test items so damaged: the same for every model."""
    from genfoundry.evaluation.baselines.classical_restoration import Method, restoration_methods

    def compute(method: Method) -> Scores:
        return dict(problem.score(damage, method(problem.x, problem.mask, problem.levels)))

    name, methods = context.split.name, restoration_methods(context.train, damage)
    return {key: dict(context.cached(f"{key} {damage} {name}", partial(compute, m))) for key, m in methods.items()}


def score_classical_restorations(outputs: Outputs, context: EvalContext) -> dict[str, Scores]:
    """Scores of classical methods for the damages that the model undoes, by their names."""
    methods: dict[str, Any] = {}
    for damage, problem in restored_problems(outputs, context):
        for name, scores in score_classical(context, damage, problem).items():
            methods[name] = methods.get(name, {}) | dict(scores)
    return methods


def plot_restorations(outputs: Outputs, context: EvalContext) -> dict[str, Draw]:
    """Draw a sheet of triples for each damage: original, damaged, restored."""
    sheets = {f"restored_{damage}": problem.sheet(outputs[f"restored_{damage}"]).numpy()
              for damage, problem in restored_problems(outputs, context)}  # fmt: skip
    draw = partial(plots.write_grid, levels=context.split.spec.levels, columns=12)
    return {name: partial(draw, images=images) for name, images in sheets.items()}


METRICS = tuple(
    describe_restoration(
        damage, "ssim", "of 1", column=False, beside=score_classical_restorations, plots=plot_restorations
    )
    for damage in DAMAGES
)
