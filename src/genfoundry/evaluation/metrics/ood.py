"""Out-of-distribution detection by likelihood (AUROC): is a model's own data likelier to it than other images?

Raw likelihoods are known to fail at this: simple images, whatever they show, are likely (Nalisnick et al. 2019,
arXiv:1810.09136). The corrected score takes an image's own complexity off, the length under the best lossless format
(Serra et al. 2020, arXiv:1909.11480).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genfoundry.evaluation.bootstrap import Estimate
from genfoundry.evaluation.metric import Metric, Requirement
from genfoundry.evaluation.metrics.likelihood import measure
from genfoundry.evaluation.roc import compute_auroc
from genfoundry.evaluation.scores import Array, Outputs, Scores, add_groups, with_ids
from genfoundry.seeding import derive_seed

if TYPE_CHECKING:
    from torch import Tensor

    from genfoundry.evaluation.context import EvalContext
    from genfoundry.splits import Split

ITEMS = 250  # of test, and of each kind of other images
CORRECTED = "_corrected"
OTHERS = {
    "shuffled": "test items with their pixels shuffled",
    "constant": "images of one value, a pixel's of a test item",
    "smooth": "smooth random images",
    "digits": "scikit-learn's handwritten digits, brought to the same shape and levels",
    "classes": "test items of the classes that were left out of training",
}
OF_ITEMS = ("shuffled", "constant")  # made of test items, one of each


def measure_others(model: Any, context: EvalContext) -> Outputs:
    """ "ood": name -> (split, nats (n,)) of images that are no items of the data set; images of levels alone."""
    from dataclasses import replace

    levels, shape = context.split.spec.levels, context.split.spec.shape
    if levels is None or levels > 256 or len(shape) != 3 or shape[0] not in (1, 3):
        return {}
    index, _ = split_by_training(context)
    others = make_others(context, index)
    return {"ood": {name: (other, measure(model, replace(context, split=other))["nll"]) for name, other in others}}


def score_ood(outputs: Outputs, context: EvalContext) -> Scores:
    """`surprise_<name>` (n,) nats of test items and of others, and the same corrected; {} if one is NaN."""
    import torch

    from genfoundry.data.iterate import iter_batches

    if "ood" not in outputs or "nll" not in outputs:
        return {}
    scores: dict[str, Any] = {}
    for name, index in zip(("test", "classes"), split_by_training(context), strict=True):
        if len(index):
            x, nll = torch.cat([b.x for b in iter_batches(context.split, index)]), outputs["nll"][index]
            scores |= add_groups(_correct(context, name, nll, x), context.split, index)
    for name, (other, nll) in outputs["ood"].items():
        scores |= add_groups(_correct(context, name, nll, torch.cat([b.x for b in iter_batches(other)])), other)
    return {} if any(np.isnan(values).any() for values in scores.values()) else scores  # infinity has its rank


def split_by_training(context: EvalContext) -> tuple[Tensor, Tensor]:
    """Some test items of the classes that the model was trained on, and some of those that were left out."""
    import torch

    from genfoundry.data.iterate import iter_batches, sample_indices

    order = sample_indices(context.split, len(context.split))
    if not context.without:
        return order[:ITEMS], order[:0]
    label = torch.cat([b.label for b in iter_batches(context.split, order) if b.label is not None]).cpu()
    out = torch.isin(label, torch.tensor(context.without))  # (N,)
    return order[~out][:ITEMS], order[out][:ITEMS]


def _correct(context: EvalContext, name: str, nll: Tensor, x: Tensor) -> dict[str, Array]:
    """`x` is the same for every model that was trained on the same classes, and so is its length."""
    from genfoundry.evaluation.baselines import compressors

    def compute() -> Scores:
        levels, pixels = context.split.spec.levels or 256, x.cpu().numpy()
        return {"bits": np.min([compressors.image_bits(pixels, kind, levels) for kind in compressors.FORMATS], axis=0)}

    key = f"bits {context.split.name} {name} {context.without}"
    bits, nats = np.asarray(context.cached(key, compute)["bits"], np.float64), nll.double().numpy()
    return {f"surprise_{name}": nats, f"surprise_{name}{CORRECTED}": nats - bits * math.log(2)}


def make_others(context: EvalContext, index: Tensor) -> Iterator[tuple[str, Split]]:
    """Images that are no items of the data set, in its shape and at its levels, as splits; their noise is seeded."""
    import torch

    from genfoundry.data.dataset import split_class
    from genfoundry.data.iterate import iter_batches
    from genfoundry.data.splits.base import SplitOptions

    raw, split = context.raw_split, context.split
    items = torch.cat([b.x for b in iter_batches(raw, index)]).cpu()
    for name, x in _make_images(items, raw.spec.levels or 256):
        # Images made of test items keep the groups of these; drawn ones are independent
        group = raw.groups[index] if name in OF_ITEMS else torch.arange(len(x))
        tensors = {"x": x.to(torch.uint8), "label": torch.full((len(x),), -1), "group": group}
        options = SplitOptions(split.spec.levels, context.binarise)
        yield name, split_class(context.dataset.modality)(f"{split.name}-{name}", tensors, raw.spec, options)


def _make_images(items: Tensor, levels: int) -> Iterator[tuple[str, Tensor]]:
    import torch

    n, channels, height, width = items.shape
    draw = torch.Generator().manual_seed(derive_seed("anomaly"))
    # A pixel's channels move together
    order = torch.rand((n, height * width), generator=draw).argsort(1)[:, None].expand(-1, channels, -1)
    yield "shuffled", items.flatten(2).gather(2, order).view_as(items)
    at = torch.randint(height * width, (n, 1, 1), generator=draw).expand(-1, channels, -1)
    yield "constant", items.flatten(2).gather(2, at)[..., None].expand_as(items)
    yield "smooth", _resize(torch.rand((n, channels, 3, 3), generator=draw), height, width, levels)
    small = read_digits()
    if not _are_digits(items, small, levels):
        picked = small[torch.randperm(len(small), generator=draw)[:n]] / 16  # in 0..1
        yield "digits", _resize(picked, height, width, levels).expand(-1, channels, -1, -1)


def _resize(x: Tensor, height: int, width: int, levels: int) -> Tensor:
    """Shares of one, brought to a size, as levels."""
    from torch.nn.functional import interpolate

    resized = interpolate(x, (height, width), mode="bilinear", align_corners=True)
    return (resized.clamp(0, 1) * (levels - 1)).round().long()


def read_digits() -> Tensor:
    """(1797, 1, 8, 8) float32 in 0..16: scikit-learn's, without importing all that it loads data sets with."""
    import torch

    package = find_spec("sklearn")
    assert package is not None and package.origin is not None
    rows = np.loadtxt(Path(package.origin).with_name("datasets") / "data/digits.csv.gz", np.float32, delimiter=",")
    return torch.from_numpy(rows[:, :64]).view(-1, 1, 8, 8)


def _are_digits(items: Tensor, small: Tensor, levels: int) -> bool:
    """Whether the items are these digits themselves."""
    import torch

    if items.shape[1:] != small.shape[1:] or levels != 17:
        return False
    return bool((torch.cdist(items.flatten(1).float(), small.flatten(1)).amin(1) < 0.5).float().mean() > 0.5)


def _area(scores: Scores, dims: int, *, other: str, suffix: str) -> dict[str, Estimate]:
    test, others = with_ids(scores, f"surprise_test{suffix}"), with_ids(scores, f"surprise_{other}{suffix}")
    return {f"auroc_{other}{suffix}": compute_auroc(test, others)}


def _explain(model: Any, judge: Any) -> str:
    return "not such data, or not finite" if getattr(model, "likelihood", "none") != "none" else "no likelihood"


def _explain_classes(model: Any, judge: Any) -> str:
    return "trained on every class" if getattr(model, "likelihood", "none") != "none" else "no likelihood"


DETECT = Requirement("out-of-distribution detection", ("likelihood",), _explain)
DETECT_CLASSES = Requirement("detection of classes left out", ("likelihood", "labels"), _explain_classes)


def _ood(other: str, suffix: str) -> Metric:
    corrected = bool(suffix)
    return Metric(
        name=f"auroc_{other}{suffix}",
        title=f"AUROC, {other}" + ", corrected" * corrected,
        unit="share",
        direction="maximize",
        description="the same, likelihood corrected by the shortest of the image formats" if corrected else
        f"how often a test item is likelier than one of {OTHERS[other]}; below 0.5 the likelihood prefers these",
        requires=DETECT_CLASSES if other == "classes" else DETECT,
        group="ood",
        inputs=(f"surprise_{other}{suffix}", f"surprise_test{suffix}"),
        column=False,
        test_only=True,
        predict=measure_others,
        score=score_ood,
        statistics=partial(_area, other=other, suffix=suffix),
    )  # fmt: skip


METRICS = tuple(_ood(other, suffix) for other in OTHERS for suffix in ("", CORRECTED))
