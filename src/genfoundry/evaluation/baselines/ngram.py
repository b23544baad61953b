"""N-gram language models with Witten-Bell interpolation: sorted keys and binary search, no loop over characters."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from genfoundry.evaluation.baselines.base import LENGTH, TEXTS, Baseline, BaselineInputs, Role
from genfoundry.evaluation.scores import Outputs
from genfoundry.seeding import derive_seed

if TYPE_CHECKING:
    from genfoundry.splits import Split

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def fit_ngrams(inputs: BaselineInputs, text: Ints, nll: Callable[[NGram, Split], Floats]) -> list[Baseline]:
    """Fit a unigram, a 5-gram and a 6-gram model to `text` (L,); `nll` gives (N,) nats of a model on a split."""

    def fit(name: str, role: Role, order: int) -> Baseline:
        model = NGram(text, inputs.train.spec.levels or len(inputs.alphabet), order)

        def predict(split: Split) -> Outputs:
            samples = model.sample(TEXTS, LENGTH, derive_seed(inputs.seed, name, split.name))
            return {"nll": torch.from_numpy(nll(model, split)), "samples": torch.from_numpy(samples)}

        return Baseline(name, role, "exact", predict)

    return [fit("unigram", "baseline", 1), fit("5-gram", "reference", 5), fit("6-gram", "reference", 6)]


class NGram:
    """p(c | h) = (n(hc) + t(h) p(c | h')) / (n(h) + t(h)); h' is h less its oldest character (Witten, Bell 1991).

    t(h) is the number of different characters seen after h; below the unigram stands the uniform distribution, so all
    characters have some probability. Histories are at most order - 1 characters and never reach beyond a window.
    """

    def __init__(self, text: Ints, levels: int, order: int) -> None:
        """Count the grams of `text` (L,) in 0..levels-1; orders whose keys overflow 63 bits are left out."""
        self.levels = levels
        text = text.astype(np.int64)[None]  # (1, L)
        self.orders = [k for k in range(min(order, text.shape[1])) if levels ** (k + 1) < 2**63]
        self.counts = [_Counts(self._keys(text, k).ravel(), levels) for k in self.orders]

    def _keys(self, windows: Ints, k: int) -> Ints:
        """(N, T) -> (N, T - k): each gram of k + 1 characters as one number."""
        width = windows.shape[1] - k
        keys = np.zeros((len(windows), max(width, 0)), np.int64)
        for j in range(k + 1):
            keys = keys * self.levels + windows[:, j : j + width]  # Horner's rule in base `levels`
        return keys

    def probability(self, windows: Ints) -> Floats:
        """(N, T) -> (N, T): the probability of each character given those before it in its window."""
        p = np.full(windows.shape, 1 / self.levels)  # uniform, below the unigram
        for k, counts in zip(self.orders, self.counts, strict=True):
            if k < windows.shape[1]:
                p[:, k:] = counts.interpolate(self._keys(windows.astype(np.int64), k), p[:, k:])
        return p

    def nll(self, windows: Ints) -> Floats:
        """(N, T) -> (N,) nats, exact."""
        return np.asarray(-np.log(self.probability(windows)).sum(1))

    def next_probability(self, history: Ints) -> Floats:
        """(N, T) -> (N, levels): the distribution of the next character; T may be 0."""
        n = len(history)
        ends = np.tile(np.arange(self.levels), n)[:, None]  # (N * levels, 1)
        windows = np.concatenate((history.repeat(self.levels, 0), ends), 1)  # (N * levels, T + 1)
        return self.probability(windows)[:, -1].reshape(n, self.levels)

    def sample(self, n: int, length: int, seed: int) -> Ints:
        """Draw (n, length) characters."""
        rng = np.random.default_rng(seed)
        text = np.zeros((n, 0), np.int64)
        for _ in range(length):
            history = text[:, max(text.shape[1] - len(self.orders) + 1, 0) :]
            steps = self.next_probability(history).cumsum(1)  # (n, levels)
            drawn = (steps < rng.random((n, 1))).sum(1).clip(0, self.levels - 1)  # inverse CDF
            text = np.concatenate((text, drawn[:, None]), 1)
        return text


class _Counts:
    """Counts of the grams of one order and of their histories, in sorted order."""

    def __init__(self, keys: Ints, levels: int) -> None:
        self.levels = levels
        self.grams, self.times = np.unique(keys, return_counts=True)
        self.histories, first, self.kinds = np.unique(self.grams // levels, return_index=True, return_counts=True)
        self.totals = np.add.reduceat(self.times, first)  # grams of each history

    def interpolate(self, keys: Ints, lower: Floats) -> Floats:
        """The probabilities of this order, from those of the order below; both shaped as `keys`."""
        times = _look_up(self.grams, keys, self.times)
        kinds = _look_up(self.histories, keys // self.levels, self.kinds)
        totals = _look_up(self.histories, keys // self.levels, self.totals)
        return np.where(kinds > 0, (times + kinds * lower) / np.maximum(totals + kinds, 1), lower)


def _look_up(table: Ints, keys: Ints, values: Ints) -> Ints:
    """`values` of the keys in a sorted table, 0 of the others."""
    index = np.searchsorted(table, keys).clip(0, len(table) - 1)  # beyond the last: none
    return np.where(table[index] == keys, values[index], 0)
