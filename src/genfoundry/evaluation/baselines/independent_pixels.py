"""Independent pixels: a factorised categorical distribution, which is an exact likelihood of images and videos."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from genfoundry.data.iterate import stack_values
from genfoundry.evaluation.baselines.base import Baseline, BaselineInputs
from genfoundry.evaluation.mode_draws import draw_samples
from genfoundry.evaluation.scores import Outputs
from genfoundry.seeding import derive_seed

if TYPE_CHECKING:
    from genfoundry.splits import Split

Ints = NDArray[np.int64]


class IndependentPixels:
    """The histogram of each pixel over the training items, with one added to each count (Laplace).

    Attributes:
        probability: (dims, levels).
    """

    def __init__(self, items: NDArray[Any], levels: int) -> None:
        """Count the values 0..levels-1 of `items` (N, dims)."""
        self.dims, self.levels = items.shape[1], levels
        counts = np.ones(self.dims * levels)  # add-one smoothing
        for part in np.array_split(items, max(len(items) // 2000, 1)):
            counts += np.bincount(self._cells(part).ravel(), minlength=counts.size)
        self.probability = counts.reshape(self.dims, levels) / (len(items) + levels)

    def _cells(self, items: NDArray[Any]) -> Ints:
        """(N, dims) positions of the values in the flat table."""
        return items.astype(np.int64) + np.arange(self.dims) * self.levels

    def nll(self, items: NDArray[Any]) -> NDArray[np.float64]:
        """(N, dims) -> (N,) nats, exact."""
        table = -np.log(self.probability).ravel()
        parts = np.array_split(items, max(len(items) // 2000, 1))
        return np.concatenate([table[self._cells(part)].sum(1) for part in parts])

    def sample(self, n: int, seed: int) -> Ints:
        """Draw (n, dims) values: one search in the cumulative sums, laid end to end, for all pixels at once."""
        # The cumulative sums of pixel i lie in i..i + 1, and so do its draws
        steps = (self.probability.cumsum(1) + np.arange(self.dims)[:, None]).ravel()
        draws = np.random.default_rng(seed).random((n, self.dims)) + np.arange(self.dims)
        # Clipped, since rounding may end a cumulative sum just below 1
        return (np.searchsorted(steps, draws) - np.arange(self.dims) * self.levels).clip(0, self.levels - 1)


def as_baseline(model: IndependentPixels, inputs: BaselineInputs) -> Baseline:
    """Samples and likelihoods of independent pixels as a row of the table."""

    def predict(split: Split) -> Outputs:
        seed = derive_seed(inputs.seed, "pixels", split.name)
        draw = lambda n: torch.from_numpy(model.sample(n, seed)).reshape(-1, *split.spec.shape)  # noqa: E731
        samples = draw_samples(draw, split.spec, inputs.sample_counts[split.name])
        return {"nll": torch.from_numpy(model.nll(stack_values(split))), **samples}

    return Baseline("independent-pixels", "baseline", "exact", predict)
