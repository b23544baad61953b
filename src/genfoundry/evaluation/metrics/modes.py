"""Modes that samples reach: classes that the judge finds among them, and how their shares differ from the data's.

Metz et al. 2017 (arXiv:1611.02163, section 3.3.1) count the classes of stacked digits; Srivastava et al. 2017
(arXiv:1705.07761, section 5.2) add the reverse divergence KL(model || data) of the distributions over classes. Both
depend on the number of samples n: of K equally frequent classes about K exp(-n / K) are missed by chance, and the
divergence is about (K - 1) / 2n too large. Hence all rows of a table have the same n.

The judge names a class for noise, too: read the number of modes beside the divergence, which a trivial model of stacked
digits that reaches all classes has several times that of real items.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from genfoundry.evaluation.metric import ClassStatistic, Metric, Requirement
from genfoundry.evaluation.metrics.frechet import draw_samples
from genfoundry.evaluation.mode_draws import count_draws, has_many_classes
from genfoundry.evaluation.scores import Array, Outputs, Scores
from genfoundry.seeding import derive_seed

if TYPE_CHECKING:
    from genfoundry.evaluation.context import SplitContext


def draw_for_modes(model: Any, context: SplitContext) -> Outputs:
    """ "mode_samples" (n, C, H, W) of data with many classes; else "samples", which other metrics have too."""
    import torch

    from genfoundry.data.iterate import EVAL_BATCH

    split = context.split
    if not has_many_classes(split.spec) or len(split.spec.shape) != 3:
        return draw_samples(model, context)
    parts, n = [], count_draws(split.spec, min(context.samples, len(split)))
    small = split.spec.levels is not None and split.spec.levels <= 256
    for i, part in enumerate(torch.split(torch.arange(n), EVAL_BATCH)):
        torch.manual_seed(derive_seed(context.seed, split.name, "modes", i))
        x = model.sample(len(part)).cpu()
        parts.append(x.to(torch.uint8) if small else x)
    return {"mode_samples": torch.cat(parts)}


def score_modes(outputs: Outputs, context: SplitContext) -> Scores:
    """ "sample_classes" (n, 3): of each sample its class by the judge, that class's share of train, their number."""
    from genfoundry.evaluation.judge import classify_samples

    spec, judge = context.split.spec, context.judge
    name = "mode_samples" if has_many_classes(spec) else "samples"
    if name not in outputs or spec.classes < 2 or getattr(judge, "kind", "") != "classes":
        return {}
    predicted = classify_samples(judge, outputs[name], spec.levels)
    shares = np.asarray(spec.class_shares)[predicted]
    return {
        "sample_classes": np.stack([predicted, shares, np.full(len(predicted), spec.classes)], 1).astype(np.float64)
    }


def count_reached(counts: Array) -> Array:
    """(R, K) counts of each class -> (R,) number of classes reached."""
    return np.asarray((counts > 0).sum(1), np.float64)


def compute_divergence(counts: Array, shares: Array) -> Array:
    """(R, K) counts of each class -> (R,) KL(counts' shares || `shares`) in nats, infinite where a share is 0."""
    p = counts / counts.sum(1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(p > 0, p * np.log(p / shares), 0.0).sum(1))


def compute_modes(scores: Scores, dims: int) -> dict[str, ClassStatistic]:
    """ "modes" and "reverse_kl"."""
    rows = np.asarray(scores["sample_classes"], np.float64)
    classes, number = rows[:, 0].astype(np.int64), int(rows[0, 2])
    counts, shares = np.bincount(classes, minlength=number), np.zeros(number)
    shares[classes] = rows[:, 1]  # of a class that is not reached nothing is asked
    return {
        "modes": ClassStatistic("modes", counts, count_reached, unseen=True, most=number),
        "reverse_kl": ClassStatistic("reverse_kl", counts, lambda drawn: compute_divergence(drawn, shares)),
    }


def _explain(model: Any, judge: Any) -> str:
    if not hasattr(model, "sample"):
        return "draws no samples"
    return "no judge" if judge is None else "no judge of classes"


OF_CLASSES: dict[str, Any] = {
    "requires": Requirement(
        "classes of samples", ("GenerativeModel", "judge", "labels"), _explain, reference="no samples"
    ),
    "group": "samples",
    "inputs": ("sample_classes",),
    "predict": draw_for_modes,
    "score": score_modes,
    "statistics": compute_modes,
}
METRICS = (
    Metric(
        name="modes",
        title="modes",
        unit="classes",
        direction="maximize",
        description="classes that the judge finds among the samples",
        objective=True,
        **OF_CLASSES,
    ),
    Metric(
        name="reverse_kl",
        title="reverse KL",
        unit="nats",
        direction="minimize",
        description="KL(model || data) of the distributions over classes, those of samples by the judge",
        objective=True,
        **OF_CLASSES,
    ),
)
