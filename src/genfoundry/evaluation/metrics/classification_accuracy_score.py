"""Classification accuracy score: classifiers are trained on class-conditional samples and tested on real items.

Ravuri and Vinyals 2019 (arXiv:1905.10887).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from genfoundry.evaluation.bootstrap import Estimate, estimate_sum_of_means
from genfoundry.evaluation.metric import Metric, Requirement
from genfoundry.evaluation.scores import Array, Ids, Outputs, Scores, add_groups, with_ids
from genfoundry.seeding import derive_seed

if TYPE_CHECKING:
    from torch import Tensor

    from genfoundry.evaluation.context import EvalContext
    from genfoundry.models.base import Learner
    from genfoundry.splits import Split

EPOCHS, BATCH = 5, 32
TRAININGS = 3  # classifiers, each with its own initial weights and order of items


def draw_of_classes(model: Any, context: EvalContext) -> Outputs:
    """ "class_samples" (n, C, H, W) and "class_labels" (n,), the classes asked for, as frequent as in train."""
    import torch

    from genfoundry.data.iterate import EVAL_BATCH

    if not model.conditional or getattr(context.judge, "kind", "") != "classes":
        return {}
    torch.manual_seed(derive_seed(context.seed, "labels"))
    # No more samples than the labelled training items that they replace
    n = min(context.samples, sum(context.train.spec.class_counts) or context.samples)
    labels = torch.multinomial(torch.tensor(model.spec.class_shares), n, replacement=True)
    parts = [model.sample(len(part), label=part.to(model.device)).cpu() for part in torch.split(labels, EVAL_BATCH)]
    return {"class_samples": torch.cat(parts), "class_labels": labels}


def score_classifiers(outputs: Outputs, context: EvalContext) -> Scores:
    """ "class_hits" (N, TRAININGS) of classifiers trained on samples, "class_hits_real" of such trained on real items.

    N are the labelled items of the split.
    """
    import torch

    from genfoundry.evaluation.judge import rescale_levels

    if "class_samples" not in outputs:
        return {}
    judge, test, labels = context.judge, context.raw_split, outputs["class_labels"]
    assert judge is not None and judge.spec.levels is not None
    x = rescale_levels(outputs["class_samples"], context.split.spec.levels, judge.spec.levels)

    def compute() -> Scores:
        real = draw_real_items(context.dataset.split("train"), len(labels))
        return {"hits": train_classifiers(judge, *real, test, "real")}

    # Scores are computed without gradients, but these train classifiers
    with torch.enable_grad():
        ours = train_classifiers(judge, x, labels, test, "samples")
        real = context.cached(f"class hits {test.name} {len(labels)}", compute)["hits"]
    return add_groups({"class_hits": ours, "class_hits_real": real}, test, find_labelled(test))


def draw_real_items(train: Split, n: int) -> tuple[Tensor, Tensor]:
    """(n, C, H, W) labelled items of `train` and their labels (n,), or all if there are fewer: what samples replace."""
    import torch

    index = find_labelled(train)
    draw = torch.Generator().manual_seed(derive_seed("augmentation", train.name))
    return read_items(train, index[torch.randperm(len(index), generator=draw)[:n]])


def find_labelled(split: Split) -> Tensor:
    """Return the indices (n,) of the items of a split that have a label."""
    import torch

    from genfoundry.data.iterate import iter_batches

    labelled = [b.label >= 0 for b in iter_batches(split) if b.label is not None]
    return torch.cat(labelled).nonzero()[:, 0].cpu() if labelled else torch.zeros(0, dtype=torch.long)


def read_items(split: Split, index: Tensor) -> tuple[Tensor, Tensor]:
    """Return the labelled items of a split at `index` (n,), (n, C, H, W), and their labels (n,), on the CPU."""
    import torch

    from genfoundry.data.iterate import iter_batches

    parts = [(b.x, b.label) for b in iter_batches(split, index) if b.label is not None]
    x, label = (torch.cat(values).cpu() for values in zip(*parts, strict=True))
    return x, label


def train_classifiers(judge: Learner, x: Tensor, label: Tensor, test: Split, name: str) -> Array:
    """(N, TRAININGS) 1.0 where a classifier of the judge's kind, trained on (x, label), is right about a test item.

    N are the labelled items of `test`; it and x (n, C, H, W) are at the judge's own levels.
    """
    trained = [_train_classifier(judge, x, label, f"{name} {number}") for number in range(TRAININGS)]
    return np.stack([_test_classifier(model, test) for model in trained], 1)


def _train_classifier(judge: Learner, x: Tensor, label: Tensor, name: str) -> Learner:
    import torch

    from genfoundry.config import Train, check
    from genfoundry.data.dataset import split_class
    from genfoundry.data.loaders import Loader
    from genfoundry.training.loop import fit

    # Its own counts: a judge without labelled items would learn rotations
    spec = replace(judge.spec, class_counts=tuple(torch.bincount(label, minlength=judge.spec.classes).tolist()))
    torch.manual_seed(derive_seed("classifier", name, "init"))
    model = type(judge)(spec, judge.config).to(judge.device)
    tensors = {"x": x.to(judge.device), "label": label.to(judge.device)}
    split, batch = split_class("images")(name, tensors, spec), min(BATCH, len(x))
    steps = {model.phases[0]: math.ceil(EPOCHS * len(x) / batch)}
    train = check(Train, {**model.defaults, "batch": batch, "steps": steps}, "classifier")
    for _ in fit(model, Loader(split, batch, ("classifier", name)), train, key=("classifier", name)):
        pass
    return model.eval()


def _test_classifier(model: Any, test: Split) -> Array:
    """(N,) 1.0 where the class of a labelled item of `test` is predicted."""
    import torch

    from genfoundry.data.iterate import iter_batches

    right = [torch.zeros(0, dtype=torch.float64)]  # if no item is labelled
    with torch.inference_mode():
        for part in iter_batches(test):
            if part.label is not None:
                classes, label = model.classify(part.to(model.device)).argmax(1).cpu(), part.label.cpu()
                right.append((classes == label)[label >= 0].double())
    return np.asarray(torch.cat(right).numpy())


def compute_accuracies(scores: Scores, dims: int) -> dict[str, Estimate]:
    """ "class_accuracy", and "class_accuracy_real" of classifiers that were trained on as many real items."""
    names = {"class_accuracy": "class_hits", "class_accuracy_real": "class_hits_real"}
    return {name: mean_over_trainings(*with_ids(scores, hits)) for name, hits in names.items()}


def mean_over_trainings(hits: Array, ids: Ids | None = None) -> Estimate:
    """The mean of `hits` (N, S), N items in groups `ids` (N,) by S trainings; no interval for less than two of each.

    A metric of a classifier that is trained on the way varies over items and over trainings: an interval over items
    alone leaves out the larger part where items are many. The variance is that of the mean over items (over their
    groups) and that over trainings, added. What an item and a training have only together is in both parts, so that
    the interval is never too narrow for it.
    """
    over_items = estimate_sum_of_means(float(hits.mean()), (hits.mean(1), ids))
    if not over_items.has_interval or hits.shape[1] < 2:
        return replace(over_items, stderr=math.nan, low=math.nan, high=math.nan)
    # Independent of each other, so that the variances add
    both = estimate_sum_of_means(over_items.value, (hits.mean(1), ids), (hits.mean(0), None))
    return replace(both, n=over_items.n, groups=over_items.groups)


OF_CLASS_SAMPLES: dict[str, Any] = {  # what metrics of class-conditional samples share
    "unit": "share",
    "direction": "maximize",
    "requires": Requirement(
        "class-conditional samples",
        ("GenerativeModel", "judge", "labels"),
        lambda model, judge: "no labels" if judge and not judge.spec.classes else "not class-conditional",
        "no samples of a class",
    ),
    "group": "class samples",
    "test_only": True,
    "predict": draw_of_classes,
}
METRICS = (
    Metric(
        name="class_accuracy",
        title="CAS",
        description="accuracy on real items of classifiers trained on samples, mean of 3 trainings",
        inputs=("class_hits", "class_hits_real"),
        score=score_classifiers,
        statistics=compute_accuracies,
        **OF_CLASS_SAMPLES,
    ),
)
