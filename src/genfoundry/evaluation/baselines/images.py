"""Trivial models of images: real ones, their mean, Gaussians, independent pixels, and image compressors.

What an item's class is told from is in `classes`, what damage is undone by in `genfoundry.restoration`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from genfoundry.data.iterate import iter_batches, sample_indices, stack_values
from genfoundry.evaluation.baselines import classical_restoration, compressors
from genfoundry.evaluation.baselines.base import Known, Row, nats, no_likelihood
from genfoundry.evaluation.baselines.classes import classifiers
from genfoundry.evaluation.baselines.gaussian import LinearAR
from genfoundry.evaluation.baselines.independent_pixels import Pixels
from genfoundry.evaluation.baselines.pixel_contexts import MOST, WIDE, Counted
from genfoundry.evaluation.objectives import RESTORED
from genfoundry.evaluation.predictions import Answers, restoration
from genfoundry.seeding import derive_seed

if TYPE_CHECKING:
    from genfoundry.splits import Split

COMPONENTS, FITTED = 64, 10_000  # of the Gaussian: principal components, training items
LINEAR = 1024  # values of an item, at most, that each is forecast from all before it


def anchors(known: Known) -> list[Row]:
    """What a distance of samples lies between: other real items, and n copies of one mean image."""
    train = known.train
    mean = torch.stack([b.x.double().sum(0) for b in iter_batches(train)]).sum(0).cpu() / len(train)
    mean = mean.float() if train.spec.levels is None else mean.round().long()

    def real(split: Split) -> Answers:
        others = torch.cat([b.x for name, s in known.held.items() if name != split.name for b in iter_batches(s)])
        draw = torch.Generator().manual_seed(derive_seed("floor", split.name))
        return {"samples": others[torch.randperm(len(others), generator=draw)[: known.sizes[split.name]]]}

    def copies(split: Split) -> Answers:
        return {"samples": mean.expand(known.sizes[split.name], *mean.shape)}

    return [
        Row("real-against-real", "floor", "none", real),
        Row("pixel-means", "ceiling", "none", copies),
    ]


def rows(known: Known) -> list[Row]:
    """What the task's objective can be compared with."""
    if known.objective == "accuracy":
        return classifiers(known)
    if known.objective in RESTORED:
        return restorers(known.train, RESTORED[known.objective])
    return _densities(known)


def restorers(train: Split, damage: str) -> list[Row]:
    """The classical methods for a damage."""

    def row(name: str, method: classical_restoration.Method) -> Row:
        def answer(split: Split) -> Answers:
            posed = restoration.posed(split, damage)
            return {f"restored_{damage}": method(posed.x, posed.known, posed.levels)}

        return Row(name, "baseline", "none", answer)

    return [row(name, method) for name, method in classical_restoration.classical(train, damage).items()]


def _densities(known: Known) -> list[Row]:
    """The anchors, a copy of the training set, Gaussians, pixels on their own and by those about them, compressors."""
    train, levels = known.train, known.train.spec.levels

    def again(split: Split) -> Answers:
        n = min(known.sizes[split.name], len(train))
        return {"samples": torch.cat([b.x for b in iter_batches(train, sample_indices(train, n))])}

    found = [*anchors(known), Row("training-copy", "copy", "none", again)]
    if len(train) > 2:
        found.append(_gaussian(known))
    if levels is None:
        return found
    independent = Pixels(stack_values(train), levels)

    def guess(split: Split) -> Answers:
        drawn = independent.sample(known.sizes[split.name], derive_seed(known.seed, "pixels", split.name))
        nll = torch.from_numpy(independent.nll(stack_values(split)))
        return {"nll": nll, "samples": torch.from_numpy(drawn).reshape(-1, *split.spec.shape)}

    found.append(Row("independent-pixels", "baseline", "exact", guess))
    if 2 < levels <= 256 and train.spec.dims <= LINEAR and len(train) > 10:
        found.append(_linear(train, independent))
    if levels ** len(WIDE) <= MOST:
        found.append(Row("counted-context", "baseline", "exact", Counted(train, WIDE).answers))
    if levels <= 256 and train.spec.shape[0] in (1, 3):
        found += [_compressor(name) for name in compressors.FORMATS]
    return [*found, _xz(known)]


def _linear(train: Split, independent: Pixels) -> Row:
    index = sample_indices(train, min(FITTED, len(train)))
    items = torch.cat([b.x.cpu() for b in iter_batches(train, index)]).flatten(1)
    linear = LinearAR.fit(items.numpy(), independent.probability)
    return Row(
        "linear-gaussian", "baseline", "exact", lambda split: {"nll": torch.from_numpy(linear.nll(stack_values(split)))}
    )


def _xz(known: Known) -> Row:
    """xz of all items in one file: a bound on the mean over independent items, and on nothing where they are not."""
    if any(len(set(split.groups.tolist())) * 2 <= len(split) for split in known.held.values()):
        why = "no likelihood of an item: it codes items of one region, volume or source by each other"
        return Row("xz", "compressor", "none", lambda split: {}, no_likelihood(why))
    return Row("xz", "compressor", "bound", lambda s: nats(compressors.whole(stack_values(s), s.spec.levels or 256)))


def _gaussian(known: Known) -> Row:
    """A Gaussian over the first principal components of the training items (eigenfaces), clipped to the levels."""
    from sklearn.decomposition import PCA

    train, levels = known.train, known.train.spec.levels
    fitted = np.concatenate([b.x.reshape(len(b), -1).cpu().double().numpy() for b in iter_batches(train, sample_indices(
        train, min(FITTED, len(train))))])  # fmt: skip
    count = min(COMPONENTS, *(s - 1 for s in fitted.shape))
    pca = PCA(count, svd_solver="randomized", random_state=derive_seed(known.seed, "pca") % 2**32).fit(fitted)

    def drawn(split: Split) -> Answers:
        rng = np.random.default_rng(derive_seed(known.seed, "pca", split.name))
        codes = rng.normal(size=(known.sizes[split.name], count)) * np.sqrt(pca.explained_variance_)
        x = torch.from_numpy(pca.inverse_transform(codes)).reshape(-1, *split.spec.shape)
        return {"samples": x.float() if levels is None else x.round().clamp(0, levels - 1).long()}

    return Row("pca-gaussian", "ceiling", "none", drawn)


def _compressor(name: str) -> Row:
    def answer(split: Split) -> Answers:
        images = stack_values(split).reshape(-1, *split.spec.shape)
        return nats(compressors.each(images, name, split.spec.levels or 256))

    return Row(name, "compressor", "bound", answer)
