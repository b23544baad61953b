"""Does the model find its data likelier than what is none? Raw likelihoods are known to fail at this: simple images,
whatever they show, are likely (Nalisnick et al. 2019, arXiv:1810.09136). The corrected score takes an image's own
complexity off, the length under the best lossless format (Serra et al. 2020, arXiv:1909.11480).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from genfoundry.data.dataset import split_class
from genfoundry.data.iterate import EVAL_BATCH, iter_batches, sample_indices
from genfoundry.data.splits.base import SplitOptions
from genfoundry.evaluation.baselines import compressors
from genfoundry.evaluation.groups import grouped
from genfoundry.evaluation.metrics.figures import CORRECTED
from genfoundry.evaluation.predictions import Scores
from genfoundry.models.base import GenerativeModel, Learner
from genfoundry.seeding import derive_seed

if TYPE_CHECKING:
    from genfoundry.evaluation.context import Bench
    from genfoundry.splits import Split

ITEMS = 250  # of test, and of each of the others
OF_ITEMS = ("shuffled", "constant")  # made of test items, one of each


def surprise(model: Learner, bench: Bench, seed: int) -> Scores:
    """`surprise_<what>` (n,) nats of test items and of others, and the same corrected; images of levels alone."""
    levels = bench.split.spec.levels
    if not isinstance(model, GenerativeModel) or "nll" not in bench.found or levels is None or levels > 256:
        return {}
    if len(bench.split.spec.shape) != 3 or bench.split.spec.shape[0] not in (1, 3):
        return {}
    index, unseen = _seen(bench)
    out: Scores = {}
    for name, part in (("test", index), ("classes", unseen)):
        if len(part):
            nll = bench.found["nll"][part].double().numpy()
            found = _scores(bench, name, nll, torch.cat([b.x for b in iter_batches(bench.split, part)]))
            out |= grouped(found, bench.split, part)
    for name, other in others(bench, index):
        parts = []
        for i, batch in enumerate(iter_batches(other, size=EVAL_BATCH)):
            torch.manual_seed(derive_seed(seed, other.name, "measure", i))
            parts.append(model.measure(batch.to(model.device))["nll"].cpu().double())
        nll = torch.cat(parts).numpy()
        out |= grouped(_scores(bench, name, nll, torch.cat([b.x for b in iter_batches(other)])), other)
    return {} if any(np.isnan(values).any() for values in out.values()) else out  # infinity has its rank


def _seen(bench: Bench) -> tuple[Tensor, Tensor]:
    """Some test items of the classes that the model was trained on, and some of those that were left out."""
    order = sample_indices(bench.split, len(bench.split))
    if not bench.without:
        return order[:ITEMS], order[:0]
    label = torch.cat([b.label for b in iter_batches(bench.split, order) if b.label is not None]).cpu()
    out = torch.isin(label, torch.tensor(bench.without))
    return order[~out][:ITEMS], order[out][:ITEMS]


def _scores(bench: Bench, name: str, nll: np.ndarray, x: Tensor) -> Scores:
    """`x` is the same for every model that was trained on the same classes, and so is its length."""

    def compute() -> Scores:
        levels = bench.split.spec.levels or 256
        return {
            "bits": np.min(
                [compressors.image_bits(x.cpu().numpy(), name, levels) for name in compressors.FORMATS], axis=0
            )
        }

    bits = np.asarray(bench.shared.get(f"bits {bench.split.name} {name} {bench.without}", compute)["bits"], np.float64)
    return {f"surprise_{name}": nll, f"surprise_{name}{CORRECTED}": nll - bits * math.log(2)}


def others(bench: Bench, index: Tensor) -> Iterator[tuple[str, Split]]:
    """What is no item of the data set, in its shape and at its levels; noise is counted."""
    plain = bench.plain
    spec = plain.spec
    items = torch.cat([b.x for b in iter_batches(plain, index)]).cpu()
    for name, x in _made(items, spec.levels or 256):
        group = plain.groups[index] if name in OF_ITEMS else torch.arange(len(x))
        tensors = {"x": x.to(torch.uint8), "label": torch.full((len(x),), -1), "group": group}
        options = SplitOptions(bench.split.spec.levels, bench.binarise)
        yield name, split_class(bench.dataset.modality)(f"{bench.split.name}-{name}", tensors, spec, options)


def _made(items: Tensor, levels: int) -> Iterator[tuple[str, Tensor]]:
    n, channels, height, width = items.shape
    draw = torch.Generator().manual_seed(derive_seed("anomaly"))
    order = torch.rand((n, height * width), generator=draw).argsort(1)[:, None].expand(-1, channels, -1)
    yield "shuffled", items.flatten(2).gather(2, order).view_as(items)
    at = torch.randint(height * width, (n, 1, 1), generator=draw).expand(-1, channels, -1)
    yield "constant", items.flatten(2).gather(2, at)[..., None].expand_as(items)
    yield "smooth", _grown(torch.rand((n, channels, 3, 3), generator=draw), height, width, levels)
    small = digits()
    if not _same(small, items, levels):
        picked = small[torch.randperm(len(small), generator=draw)[:n]] / 16
        yield "digits", _grown(picked, height, width, levels).expand(-1, channels, -1, -1)


def _grown(x: Tensor, height: int, width: int, levels: int) -> Tensor:
    """Shares of one, brought to a size, as levels."""
    grown = functional.interpolate(x, (height, width), mode="bilinear", align_corners=True)
    return (grown.clamp(0, 1) * (levels - 1)).round().long()


def digits() -> Tensor:
    """(1797, 1, 8, 8) float32 in 0..16: scikit-learn's, without importing all that it loads data sets with."""
    package = find_spec("sklearn")
    assert package is not None and package.origin is not None
    rows = np.loadtxt(Path(package.origin).with_name("datasets") / "data/digits.csv.gz", np.float32, delimiter=",")
    return torch.from_numpy(rows[:, :64]).view(-1, 1, 8, 8)


def _same(small: Tensor, items: Tensor, levels: int) -> bool:
    """Whether the items are these digits themselves."""
    if items.shape[1:] != small.shape[1:] or levels != 17:
        return False
    return bool((torch.cdist(items.flatten(1).float(), small.flatten(1)).amin(1) < 0.5).float().mean() > 0.5)
