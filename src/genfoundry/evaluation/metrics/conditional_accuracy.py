"""Accuracy of class-conditional samples: how often the judge takes a sample for the class that was asked for.

The judge errs, too: the row of real items, by which a value is to be read, is what it reaches on held-out ones. A model
that draws one perfect item of each class reaches it as well, so that it stands beside measures of diversity.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genfoundry.evaluation.metric import Metric, Requirement
from genfoundry.evaluation.metrics.classification_accuracy_score import draw_of_classes, find_labelled
from genfoundry.evaluation.scores import Array, Outputs, Scores, add_groups

if TYPE_CHECKING:
    from torch import Tensor

    from genfoundry.evaluation.context import EvalContext

ASKED = ("class_samples", "class_labels")  # of a model, and of the reference row of real items:
REAL = ("samples", "sample_labels")


def score_asked_classes(outputs: Outputs, context: EvalContext) -> Scores:
    """ "asked_hits" (n,), 1 where the judge gives a sample the class that it was asked for."""
    from genfoundry.evaluation.judge import rescale_levels

    names = next((names for names in (ASKED, REAL) if all(name in outputs for name in names)), None)
    if names is None or getattr(context.judge, "kind", "") != "classes":
        return {}
    judge, (x, label) = context.judge, (outputs[name] for name in names)
    assert judge is not None and judge.spec.levels is not None
    x, label = x[label >= 0], label[label >= 0]  # real items need not have one
    hits = _classify(judge, rescale_levels(x, context.split.spec.levels, judge.spec.levels), label)
    return {"asked_hits": hits} if len(hits) else {}


def score_real_items(outputs: Outputs, context: EvalContext) -> dict[str, Scores]:
    """ "real items" -> their "asked_hits", of all labelled items of the split, where there are samples of classes."""
    import torch

    from genfoundry.data.iterate import iter_batches

    split, judge = context.raw_split, context.judge
    if ASKED[0] not in outputs or judge is None or not len(index := find_labelled(split)):
        return {}

    def compute() -> Scores:
        parts = [(b.x, b.label) for b in iter_batches(split, index) if b.label is not None]
        x, label = (torch.cat(values).cpu() for values in zip(*parts, strict=True))
        return add_groups({"asked_hits": _classify(judge, x, label)}, split, index)

    return {"real items": context.cached(f"asked hits {split.name} {len(index)}", compute)}


def _classify(judge: Any, x: Tensor, label: Tensor) -> Array:
    """(n,) 1.0 where the judge is right about items (n, C, H, W) at its own levels."""
    import torch

    from genfoundry.data.iterate import EVAL_BATCH
    from genfoundry.types import Batch

    parts = [judge.classify(Batch(part.to(judge.device))).argmax(1).cpu() for part in torch.split(x, EVAL_BATCH)]
    return (torch.cat(parts) == label.cpu()).double().numpy()


METRICS = (
    Metric(
        name="conditional_accuracy",
        title="class as asked",
        unit="share",
        direction="maximize",
        description="class-conditional samples that the judge takes for the class asked for",
        requires=Requirement(
            "class-conditional samples",
            ("GenerativeModel", "judge", "labels"),
            lambda model, judge: "no labels" if judge and not judge.spec.classes else "not class-conditional",
            "no samples of a class",
        ),
        group="class samples",
        inputs=("asked_hits",),
        test_only=True,
        predict=draw_of_classes,
        score=score_asked_classes,
        beside=score_real_items,
    ),
)
