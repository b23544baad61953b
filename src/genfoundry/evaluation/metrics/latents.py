"""What a model's codes hold: how many of them are active, classes that a line tells apart, what lies between two."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genfoundry.data.iterate import EVAL_BATCH, iter_batches, sample_indices
from genfoundry.evaluation import plots
from genfoundry.evaluation.groups import grouped
from genfoundry.evaluation.predictions import Scores
from genfoundry.models.abilities import Decodes, Embeds, Infers, Quantises
from genfoundry.models.base import Learner
from genfoundry.seeding import derive_seed

if TYPE_CHECKING:
    from genfoundry.evaluation.context import Bench
    from genfoundry.splits import Split

TRAIN, TEST = 2000, 1000  # items that are encoded
STRIPS, STEPS = 12, 10  # pairs of items; images from one to the other
ROUNDS = 200  # of the linear classifier's solver
WIDE, NARROW = 1024, 512  # more values than that are projected at random on so many before a classifier reads them
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Coded:
    """Items of a split (n), their values and codes, and their labels where all of them have one."""

    index: Tensor
    x: Tensor
    z: Tensor
    label: Tensor | None

    @classmethod
    def of(cls, model: Embeds, split: Split, n: int) -> Coded:
        index = sample_indices(split, min(n, len(split)))
        device, small = cast("Learner", model).device, split.spec.levels is not None and split.spec.levels <= 256
        x, z, known = [], [], []
        for part in iter_batches(split, index, EVAL_BATCH):
            x.append(part.x.cpu().to(torch.uint8 if small else part.x.dtype))
            z.append(model.embed(part.to(device)).cpu().float().flatten(1))
            known += [part.label.cpu()] if part.label is not None else []
        label = torch.cat(known) if len(known) == len(x) else None
        return cls(index, torch.cat(x), torch.cat(z), None if label is None or (label < 0).any() else label)


def read(model: Learner, bench: Bench) -> tuple[Coded, Coded] | None:
    """Codes of train and test items; None of a model that gives none, or none that is finite."""
    if not isinstance(model, Embeds):
        return None
    train, test = Coded.of(model, bench.train, TRAIN), Coded.of(model, bench.split, TEST)
    return (train, test) if train.z.isfinite().all() and test.z.isfinite().all() else None


def held(model: Learner, coded: tuple[Coded, Coded], bench: Bench) -> tuple[Scores, dict[str, Scores]]:
    """Scores of the codes, and of raw values that a linear classifier reads instead; the map is a picture."""
    train, test = coded
    own: Scores = {}
    if isinstance(model, Infers):
        own = grouped({"codes": means(model, bench, test.index)}, bench.split, test.index)
    bench.drawings["codes"] = partial(_map, z=test.z.double().numpy(), label=test.label)
    if train.label is None or test.label is None or (train.label == train.label[0]).all():
        return own, {}
    hits = probe(train.z, train.label, test.z, test.label)
    own |= grouped({"probe_accuracy": hits}, bench.split, test.index)
    known, truth = train.label, test.label
    compute = lambda: {"probe_accuracy": probe(train.x.flatten(1), known, test.x.flatten(1), truth)}  # noqa: E731
    raw = grouped(bench.shared.get("probe of the raw values", compute), bench.split, test.index)
    return own, {"the raw values": raw}


@torch.no_grad()
def means(model: Infers, bench: Bench, index: Tensor) -> Floats:
    """(n, K) posterior means of these test items' codes: whether one varies says whether it is active."""
    device = cast("Learner", model).device
    parts = [
        model.posterior_means(part.to(device)).cpu().double() for part in iter_batches(bench.split, index, EVAL_BATCH)
    ]
    return cast("Floats", torch.cat(parts).numpy())


def chosen_by(model: Learner, bench: Bench) -> Scores:
    """`use_<level>` (n, K): how often a test item chooses each discrete code."""
    if not isinstance(model, Quantises):
        return {}
    index = sample_indices(bench.split, min(TEST, len(bench.split)))
    parts = iter_batches(bench.split, index, EVAL_BATCH)
    grids = [{level: x.cpu() for level, x in model.codes(batch.to(model.device)).items()} for batch in parts]
    whole = {level: torch.cat([one[level] for one in grids]) for level in grids[0]}
    use = {level: torch.zeros(len(x), int(x.max()) + 1, dtype=torch.float64) for level, x in whole.items()}
    counts = {f"use_{k}": use[k].scatter_add_(1, x, torch.ones_like(x, dtype=torch.float64)).numpy()
              for k, x in whole.items()}  # fmt: skip
    return grouped(counts, bench.split, index)


def probe(z: Tensor, label: Tensor, other: Tensor, truth: Tensor) -> Floats:
    """(n,) 1.0 where multinomial logistic regression on z (N, K) with their labels is right about another item."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    line = make_pipeline(StandardScaler(), LogisticRegression(max_iter=ROUNDS))
    with warnings.catch_warnings():  # raw pixels may take more rounds: stopping early is a regulariser
        warnings.simplefilter("ignore", ConvergenceWarning)
        line.fit(_narrow(z), label.numpy())
    return np.asarray(line.predict(_narrow(other)) == truth.numpy(), np.float64)


def _narrow(z: Tensor) -> NDArray[np.float32]:
    if z.shape[1] > WIDE:
        draw = torch.Generator().manual_seed(derive_seed("narrow", z.shape[1]))
        z = z.float() @ torch.randn(z.shape[1], NARROW, generator=draw)
    return np.asarray(z.float().numpy())  # twice as quick as float64, for the same items


def _map(path: Any, z: Floats, label: Tensor | None) -> None:
    """The codes' first two principal components, coloured by class."""
    from sklearn.decomposition import PCA

    if min(z.shape) < 2:
        return
    pca = PCA(2, svd_solver="randomized", random_state=0).fit(z)
    shares = pca.explained_variance_ratio_
    names = [f"component {i + 1} ({share:.0%} of the variance)" for i, share in enumerate(shares)]
    plots.plot_scatter(path, pca.transform(z), None if label is None else label.numpy(), names)


def between(model: Learner, test: Coded, bench: Bench) -> None:
    """A picture: each strip an item, decoded codes on the line from its own to that of another, and the other."""
    if not isinstance(model, Decodes) or len(bench.split.spec.shape) != 3 or len(test.z) < 2:
        return
    n = min(STRIPS, len(test.z) // 2)
    made = line(model, test.z[:n], test.z[n : 2 * n]).cpu().float()
    strips = [test.x[:n, None].float(), made, test.x[n : 2 * n, None].float()]
    bench.pictures["interpolation"] = torch.cat(strips, 1).flatten(0, 1)


def line(model: Decodes, a: Tensor, b: Tensor, steps: int = STEPS) -> Tensor:
    """(n, steps, *shape): decoded codes on the straight line from a to b (n, K); the ends are reconstructions."""
    share = torch.linspace(0, 1, steps)[:, None]  # (steps, 1)
    z = torch.lerp(a[:, None], b[:, None], share).flatten(0, 1).to(cast("Learner", model).device)
    made = model.decode(z)
    return made.view(len(a), steps, *made.shape[1:])
