"""Baselines of images: real ones, their mean, Gaussians, pixels given others or none, compressors.

Classifiers are in `classes`, restoration methods in `classical_restoration`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from genfoundry.data.iterate import iter_batches, sample_indices, stack_values
from genfoundry.evaluation.baselines.base import Baseline, BaselineInputs, nll_from_bits
from genfoundry.evaluation.baselines.classes import fit_classifiers
from genfoundry.evaluation.baselines.classical_restoration import Method, restoration_methods, sum_items
from genfoundry.evaluation.baselines.compressors import FORMATS, image_bits, xz_bits
from genfoundry.evaluation.baselines.gaussian import LinearAR
from genfoundry.evaluation.baselines.independent_pixels import IndependentPixels, as_baseline
from genfoundry.evaluation.baselines.pixel_contexts import MAX_CONTEXTS, WIDE, ContextModel
from genfoundry.evaluation.inverse_problem import RESTORED, pose_problem
from genfoundry.evaluation.mode_draws import draw_samples
from genfoundry.evaluation.scores import Outputs
from genfoundry.seeding import derive_seed

if TYPE_CHECKING:
    from genfoundry.splits import Split
    from genfoundry.types import Batch

COMPONENTS = 64  # principal components of the Gaussian
MAX_ITEMS = 10_000  # training items that Gaussians are fitted to
MAX_DIMS = 1024  # values of an item that the linear autoregressive model is fitted to


def fit_anchors(inputs: BaselineInputs) -> list[Baseline]:
    """Fit the references that sample distances lie between: other real items, and n copies of the mean image."""
    train = inputs.train
    mean = sum_items(train).cpu() / len(train)  # (C, H, W)
    mean = mean.float() if train.spec.levels is None else mean.round().long()

    def choose_real(split: Split, n: int) -> tuple[list[Batch], torch.Tensor]:
        others = [b for name, s in inputs.held_out.items() if name != split.name for b in iter_batches(s)]
        draw = torch.Generator().manual_seed(derive_seed("floor", split.name))
        return others, _draw_items(sum(map(len, others)), n, draw)

    def draw_real(split: Split, n: int) -> torch.Tensor:
        others, chosen = choose_real(split, n)
        return torch.cat([b.x for b in others])[chosen]

    def draw_with_labels(split: Split) -> Outputs:
        others, chosen = choose_real(split, inputs.sample_counts[split.name])  # those of "samples"
        labels = [b.label for b in others if b.label is not None]
        labelled = {"sample_labels": torch.cat(labels).cpu()[chosen]} if len(labels) == len(others) else {}
        return _draw_all(draw_real, inputs, split) | labelled

    def repeat_mean(split: Split, n: int) -> torch.Tensor:
        return mean.expand(n, *mean.shape)

    return [
        Baseline("real-against-real", "floor", "none", draw_with_labels),
        Baseline("pixel-means", "ceiling", "none", partial(_draw_all, repeat_mean, inputs)),
    ]


def _draw_all(draw: Callable[[Split, int], torch.Tensor], inputs: BaselineInputs, split: Split) -> Outputs:
    return draw_samples(partial(draw, split), split.spec, inputs.sample_counts[split.name])


def _draw_items(items: int, n: int, draw: torch.Generator) -> torch.Tensor:
    """Indices (n,) of items, each once; with replacement where there are fewer, as n draws of their distribution."""
    if n > items:
        return torch.randint(items, (n,), generator=draw)
    return torch.randperm(items, generator=draw)[:n]


def fit_baselines(inputs: BaselineInputs) -> list[Baseline]:
    """The baselines that have the task's objective: classifiers, restoration methods, or densities."""
    if inputs.objective == "accuracy":
        return fit_classifiers(inputs)
    if inputs.objective in RESTORED:
        damage = RESTORED[inputs.objective]
        methods = restoration_methods(inputs.train, damage)
        return [Baseline(name, "baseline", "none", partial(_restore, m, damage)) for name, m in methods.items()]
    return _fit_densities(inputs)


def _restore(method: Method, damage: str, split: Split) -> Outputs:
    problem = pose_problem(split, damage)
    return {f"restored_{damage}": method(problem.x, problem.mask, problem.levels)}


def _fit_densities(inputs: BaselineInputs) -> list[Baseline]:
    """The anchors, a copy of the training set, Gaussians, pixels given others or none, compressors."""
    train, levels = inputs.train, inputs.train.spec.levels

    def copy_train(split: Split, n: int) -> torch.Tensor:
        draw = torch.Generator().manual_seed(derive_seed("copy", split.name))
        again = n > len(train) and n > inputs.sample_counts[split.name]  # only modes are counted in more than there are
        index = _draw_items(len(train), n, draw) if again else sample_indices(train, min(n, len(train)))
        return torch.cat([b.x for b in iter_batches(train, index)])

    copy = Baseline("training-copy", "copy", "none", partial(_draw_all, copy_train, inputs))
    baselines = [*fit_anchors(inputs), copy]
    if len(train) > 2:
        baselines.append(_fit_pca_gaussian(inputs))
    if levels is None:
        return baselines
    pixels = IndependentPixels(stack_values(train), levels)
    baselines.append(as_baseline(pixels, inputs))
    if 2 < levels <= 256 and train.spec.dims <= MAX_DIMS and len(train) > 10:
        baselines.append(_fit_linear(train, pixels))
    if levels ** len(WIDE) <= MAX_CONTEXTS:
        baselines.append(Baseline("counted-context", "baseline", "exact", ContextModel(train, WIDE).predict))
    if levels <= 256 and train.spec.shape[0] in (1, 3):
        baselines += [Baseline(name, "compressor", "bound", partial(_compress, name)) for name in FORMATS]
    return [*baselines, _xz(inputs)]


def _some_items(train: Split) -> torch.Tensor:
    """At most `MAX_ITEMS` training items, (n, dims)."""
    index = sample_indices(train, min(MAX_ITEMS, len(train)))
    return torch.cat([b.x.cpu() for b in iter_batches(train, index)]).flatten(1)


def _fit_linear(train: Split, pixels: IndependentPixels) -> Baseline:
    model = LinearAR.fit(_some_items(train).numpy(), pixels.probability)

    def predict(split: Split) -> Outputs:
        return {"nll": torch.from_numpy(model.nll(stack_values(split)))}

    return Baseline("linear-gaussian", "baseline", "exact", predict)


def _fit_pca_gaussian(inputs: BaselineInputs) -> Baseline:
    """A Gaussian over the first principal components of the training items (eigenfaces), clipped to the levels."""
    from sklearn.decomposition import PCA

    levels, items = inputs.train.spec.levels, _some_items(inputs.train).double().numpy()
    count = min(COMPONENTS, *(s - 1 for s in items.shape))  # at most the rank of centred items
    pca = PCA(count, svd_solver="randomized", random_state=derive_seed(inputs.seed, "pca") % 2**32).fit(items)

    def sample(split: Split, n: int) -> torch.Tensor:
        rng = np.random.default_rng(derive_seed(inputs.seed, "pca", split.name))
        codes = rng.normal(size=(n, count)) * np.sqrt(pca.explained_variance_)
        x = torch.from_numpy(pca.inverse_transform(codes)).reshape(-1, *split.spec.shape)
        return x.float() if levels is None else x.round().clamp(0, levels - 1).long()

    return Baseline("pca-gaussian", "ceiling", "none", partial(_draw_all, sample, inputs))


def _compress(name: str, split: Split) -> Outputs:
    images = stack_values(split).reshape(-1, *split.spec.shape)
    return nll_from_bits(image_bits(images, name, split.spec.levels or 256))


def _xz(inputs: BaselineInputs) -> Baseline:
    """All items in one xz file: a bound on the mean over independent items, and on nothing where they are not."""
    if any(len(set(split.groups.tolist())) * 2 <= len(split) for split in inputs.held_out.values()):
        reason = "no likelihood of an item: it codes items of one region, volume or source by each other"
        return Baseline("xz", "compressor", "none", lambda split: {}, reason)
    predict = lambda s: nll_from_bits(xz_bits(stack_values(s), s.spec.levels or 256))  # noqa: E731
    return Baseline("xz", "compressor", "bound", predict)
