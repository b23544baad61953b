"""Frechet distance against the number of steps in which a differential equation is solved for samples."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from genfoundry.evaluation import plots
from genfoundry.evaluation.metric import Distance, Draw, Metric, Requirement
from genfoundry.evaluation.metrics.frechet import frechet_distance, score_features
from genfoundry.evaluation.scores import Array, Outputs, Scores, with_ids
from genfoundry.seeding import derive_seed

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from genfoundry.evaluation.context import EvalContext

STEPS = (1, 2, 4, 8, 16)
FEW = 4  # steps of the metric
MOST = 1000  # samples of each number of steps
REAL = "real items"  # the line in the plot


def draw_in_steps(model: Any, context: EvalContext) -> Outputs:
    """ "samples_in": number of steps -> (n, C, H, W) of images, from the same noise and labels."""
    from genfoundry.evaluation.judge import Judges

    if len(context.split.spec.shape) != 3 or not isinstance(context.judge, Judges):
        return {}
    return {"samples_in": {steps: _draw(model, context, steps) for steps in STEPS}}


def _draw(model: Any, context: EvalContext, steps: int) -> Tensor:
    import torch

    from genfoundry.data.iterate import EVAL_BATCH

    parts, n = [], min(context.samples, len(context.split), MOST)
    for i, part in enumerate(torch.split(torch.arange(n), EVAL_BATCH)):
        torch.manual_seed(derive_seed(context.seed, context.split.name, "steps", i))
        parts.append(model.sample_in(len(part), steps).cpu())
    return torch.cat(parts)


def score_few(outputs: Outputs, context: EvalContext) -> Scores:
    """ "features_few" of samples in `FEW` steps and "real_few" of as many items (n, F), where there is a judge."""
    if "samples_in" not in outputs:
        return {}
    scores = _score(outputs, context)[FEW]
    return {name.replace("features", "features_few").replace("real", "real_few"): v for name, v in scores.items()}


def _score(outputs: Outputs, context: EvalContext) -> dict[int, Scores]:
    def score() -> dict[int, Scores]:
        samples = outputs["samples_in"].items()
        return {steps: score_features({"samples": x}, context) for steps, x in samples}

    return context.once(f"features of steps {id(outputs['samples_in'])}", score)


def compute_few(scores: Scores, dims: int) -> dict[str, Distance]:
    """ "frechet_few_steps"."""
    (fake, _), (real, ids) = with_ids(scores, "features_few"), with_ids(scores, "real_few")
    return {"frechet_few_steps": frechet_distance(np.asarray(fake, np.float64), np.asarray(real, np.float64), ids)}


def plot_steps(outputs: Outputs, context: EvalContext) -> dict[str, Draw]:
    """The curve, and the distance of as many training items as a line."""
    if "samples_in" not in outputs:
        return {}
    scores = _score(outputs, context)
    values = [frechet_distance(np.asarray(s["features"]), np.asarray(s["real"])).value for s in scores.values()]
    real = frechet_distance(_train_features(context, n := len(scores[FEW]["real"])), np.asarray(scores[FEW]["real"]))
    return {"frechet_by_steps": partial(_draw_curve, values=values, real=real.value, n=n)}


def _train_features(context: EvalContext, n: int) -> Array:
    from genfoundry.data.iterate import sample_items
    from genfoundry.evaluation.judge import Judges, compute_features

    judge, train = context.judge, context.train
    assert isinstance(judge, Judges)
    compute = lambda: {"real": compute_features(judge, sample_items(train, n), train.spec.levels)}  # noqa: E731
    return np.asarray(context.cached(f"train features {n} {context.without}", compute)["real"], np.float64)


def _draw_curve(path: Path, values: list[float], real: float, n: int) -> None:
    curves = {"samples": (STEPS, values), REAL: (STEPS, [real] * len(STEPS))}
    plots.plot_lines(path, curves, x="steps", y="Frechet distance", title=f"{n} samples", log=True)


INTEGRATES = Requirement(
    "samples in few steps",
    ("Integrates", "judge"),
    lambda model, judge: "no judge" if hasattr(model, "sample_in") else "solves no differential equation",
)
METRICS = (
    Metric(
        name="frechet_few_steps",
        title=f"Frechet, {FEW} steps",
        unit="squared deviations of judge features",
        direction="minimize",
        description=f"the Frechet distance of samples whose differential equation is solved in {FEW} steps",
        requires=INTEGRATES,
        group="samples",
        inputs=("features_few", "real_few"),
        column=False,
        test_only=True,
        predict=draw_in_steps,
        score=score_few,
        statistics=compute_few,
        plots=plot_steps,
    ),
)
