"""Classification accuracy: how often a model tells the class of a labelled item."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genfoundry.evaluation.metric import Metric, Requirement
from genfoundry.evaluation.scores import Outputs, Scores, add_groups

if TYPE_CHECKING:
    from genfoundry.evaluation.context import SplitContext


def classify(model: Any, context: SplitContext) -> Outputs:
    """ "classes" (N,): the likeliest class of every item."""
    import torch

    from genfoundry.data.iterate import EVAL_BATCH, iter_batches

    if not context.split.spec.classes:
        return {}
    parts = iter_batches(context.split, size=EVAL_BATCH)
    return {"classes": torch.cat([model.classify(b.to(model.device)).argmax(1).cpu() for b in parts])}


def score_classes(outputs: Outputs, context: SplitContext) -> Scores:
    """ "hits" of the labelled items (M,), 1 where the class is right; {} if there are none."""
    import torch

    from genfoundry.data.iterate import iter_batches

    if "classes" not in outputs:
        return {}
    label = torch.cat([b.label for b in iter_batches(context.split) if b.label is not None]).cpu()  # (N,)
    if not (label >= 0).any():
        return {}
    hits = (outputs["classes"] == label)[label >= 0].double().numpy()
    return add_groups({"hits": hits}, context.split, (label >= 0).nonzero().flatten())


CLASSIFY = Requirement(
    "classification",
    ("Classifies", "labels"),
    lambda model, judge: "tells no classes",
    reference="predicts no classes",
)
METRICS = (
    Metric(
        name="accuracy",
        title="accuracy",
        unit="share",
        direction="maximize",
        description="labelled test items whose class is told",
        requires=CLASSIFY,
        group="classes",
        inputs=("hits",),
        objective=True,
        predict=classify,
        score=score_classes,
    ),
)
