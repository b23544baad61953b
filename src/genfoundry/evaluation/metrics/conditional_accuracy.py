"""Accuracy of class-conditional samples: how often the judge takes a sample for the class that was asked for.

The judge errs, too: the row of real items, by which a value is to be read, is what it reaches on held-out ones. A model
that draws one perfect item of each class reaches it as well, so that it stands beside measures of diversity.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from genfoundry.evaluation.metric import Metric
from genfoundry.evaluation.metrics.classification_accuracy_score import OF_CLASS_SAMPLES, find_labelled, read_items
from genfoundry.evaluation.scores import Array, Outputs, Scores, add_groups

if TYPE_CHECKING:
    from torch import Tensor

    from genfoundry.evaluation.context import EvalContext

ASKED = ("class_samples", "class_labels")  # of a model, and of the reference row of real items:
REAL = ("samples", "sample_labels")


def score_asked_classes(outputs: Outputs, context: EvalContext) -> Scores:
    """ "asked_hits" (n,), 1 where the judge gives a sample the class that it was asked for."""
    names = next((names for names in (ASKED, REAL) if all(name in outputs for name in names)), None)
    if names is None or getattr(context.judge, "kind", "") != "classes":
        return {}
    x, label = (outputs[name] for name in names)
    x, label = x[label >= 0], label[label >= 0]  # real items need not have one
    return {"asked_hits": _find_hits(context.judge, x, label, context.split.spec.levels)} if len(x) else {}


def score_real_items(outputs: Outputs, context: EvalContext) -> dict[str, Scores]:
    """ "real items" -> their "asked_hits", of all labelled items of the split, where there are samples of classes."""
    split, judge = context.raw_split, context.judge
    if ASKED[0] not in outputs or judge is None or not len(index := find_labelled(split)):
        return {}

    def compute() -> Scores:
        hits = _find_hits(judge, *read_items(split, index), split.spec.levels)
        return add_groups({"asked_hits": hits}, split, index)

    return {"real items": context.cached(f"asked hits {split.name} {len(index)}", compute)}


def _find_hits(judge: Any, x: Tensor, label: Tensor, levels: int | None) -> Array:
    """(n,) 1.0 where the judge is right about items (n, C, H, W) of so many levels, of classes (n,)."""
    from genfoundry.evaluation.judge import classify_samples

    return np.asarray(classify_samples(judge, x, levels) == label.cpu().numpy(), np.float64)


METRICS = (
    Metric(
        name="conditional_accuracy",
        title="class as asked",
        description="class-conditional samples that the judge takes for the class asked for",
        inputs=("asked_hits",),
        score=score_asked_classes,
        beside=score_real_items,
        **OF_CLASS_SAMPLES,
    ),
)
