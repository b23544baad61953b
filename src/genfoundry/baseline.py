"""Trivial models and compressors: they give answers in the form that `evaluate.answers` does, and are scored alike.

Roles: a champion must beat every "baseline" and the "ceiling"; the "floor" (real items against real ones) cannot be
beaten; a "compressor" or "reference" is shown only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genfoundry import compress
from genfoundry.metrics import QUANTILES
from genfoundry.ngram import NGram
from genfoundry.types import Batch, counted

if TYPE_CHECKING:
    from genfoundry.data.base import Split

Answers = dict[str, Tensor]
Ints = NDArray[np.int64]
TEXTS, LENGTH = 4, 400  # sample texts of an n-gram, characters each


@dataclass(frozen=True)
class Row:
    """One trivial model: fitted on train already, it answers for any split."""

    name: str
    role: Literal["floor", "ceiling", "baseline", "compressor", "reference"]
    likelihood: Literal["exact", "bound", "none"]
    answers: Callable[[Split], Answers]


def batches(split: Split, index: Tensor | None = None, size: int = 500) -> Iterator[Batch]:
    """The items at `index` (default: all, in order) in batches of `size`."""
    for part in torch.split(torch.arange(len(split)) if index is None else index, size):
        yield split.batch(part)


def chosen(split: Split, n: int) -> Tensor:
    """(n,) items, a function of the split's name and n: a file's first items may be all of one class."""
    draw = torch.Generator().manual_seed(counted("chosen", split.name, n))
    return torch.randperm(len(split), generator=draw)[torch.arange(n) % len(split)]


def anchors(train: Split, modality: str, samples: int) -> list[Row]:
    """The rows that stand beside every model's own figures: quick, since nothing much is fitted."""
    if modality == "series":
        return [_persistence(train)] if train.spec.cond_shape is not None else []
    return _ends(train, samples) if modality == "images" else []


def rows(train: Split, modality: str, samples: int, seed: int, alphabet: str | None = None) -> list[Row]:
    """The trivial models for this modality, fitted on train; at most `samples` samples a split."""
    own = _text_rows(train, seed, alphabet or "") if modality == "text" else []
    own = _image_rows(train, samples, seed) if modality == "images" and train.spec.levels is not None else own
    return [*anchors(train, modality, samples), *own]


def _ends(train: Split, samples: int) -> list[Row]:
    """What a Frechet distance lies between: other real items, and n copies of one mean image."""
    mean = torch.stack([b.x.double().sum(0) for b in batches(train)]).sum(0).cpu() / len(train)
    mean = mean.float() if train.spec.levels is None else mean.round().long()

    def real(split: Split) -> Answers:
        return {"samples": torch.cat([b.x for b in batches(train, chosen(train, min(samples, len(split))))])}

    def copies(split: Split) -> Answers:
        return {"samples": mean.expand(min(samples, len(split)), *mean.shape)}

    return [
        Row("real-against-real", "floor", "none", real),
        Row("pixel-means", "ceiling", "none", copies),
    ]


def _image_rows(train: Split, samples: int, seed: int) -> list[Row]:
    levels = train.spec.levels or 0
    independent = Pixels(_values(train), levels)

    def guess(split: Split) -> Answers:
        drawn = independent.sample(min(samples, len(split)), counted(seed, "pixels", split.name))
        nll = torch.from_numpy(independent.nll(_values(split)))
        return {"nll": nll, "samples": torch.from_numpy(drawn).reshape(-1, *split.spec.shape)}

    found = [Row("independent-pixels", "baseline", "exact", guess)]
    if levels <= 256 and train.spec.shape[0] in (1, 3):
        found += [_compressor(name) for name in compress.FORMATS]
    return [*found, Row("xz", "compressor", "bound", lambda s: _nats(compress.whole(_values(s), s.spec.levels or 256)))]


def _values(split: Split) -> NDArray[Any]:
    """(N, dims) values of every item, in bytes where they fit."""
    kind = torch.uint8 if split.spec.levels is not None and split.spec.levels <= 256 else None
    return np.concatenate([b.x.reshape(len(b), -1).cpu().to(kind or b.x.dtype).numpy() for b in batches(split)])


class Pixels:
    """Every pixel on its own: its histogram over train, with one added to each count (Laplace)."""

    def __init__(self, values: NDArray[Any], levels: int) -> None:
        self.dims, self.levels = values.shape[1], levels
        counts = np.ones(self.dims * levels)
        for part in np.array_split(values, max(len(values) // 2000, 1)):
            counts += np.bincount(self._cells(part).ravel(), minlength=counts.size)
        self.probability = counts.reshape(self.dims, levels) / (len(values) + levels)

    def _cells(self, values: NDArray[Any]) -> Ints:
        return values.astype(np.int64) + np.arange(self.dims) * self.levels

    def nll(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """(N, dims) -> (N,) nats, exact."""
        table = -np.log(self.probability).ravel()
        parts = np.array_split(values, max(len(values) // 2000, 1))
        return np.concatenate([table[self._cells(part)].sum(1) for part in parts])

    def sample(self, n: int, seed: int) -> Ints:
        """(n, dims): one search in the cumulative sums, laid end to end, for all pixels at once."""
        steps = (self.probability.cumsum(1) + np.arange(self.dims)[:, None]).ravel()
        draws = np.random.default_rng(seed).random((n, self.dims)) + np.arange(self.dims)
        return (np.searchsorted(steps, draws) - np.arange(self.dims) * self.levels).clip(0, self.levels - 1)


def _compressor(name: str) -> Row:
    def answer(split: Split) -> Answers:
        images = _values(split).reshape(-1, *split.spec.shape)
        return _nats(compress.each(images, name, split.spec.levels or 256))

    return Row(name, "compressor", "bound", answer)


def _nats(bits: NDArray[np.float64]) -> Answers:
    return {"nll": torch.from_numpy(bits * math.log(2))}


def _text_rows(train: Split, seed: int, alphabet: str) -> list[Row]:
    def counts(name: str, role: Literal["baseline", "reference"], order: int) -> Row:
        model = NGram(train.whole.cpu().numpy(), train.spec.levels or len(alphabet), order)

        def answer(split: Split) -> Answers:
            drawn = model.sample(TEXTS, LENGTH, counted(seed, name, split.name))
            return {"nll": torch.from_numpy(model.nll(_values(split))), "samples": torch.from_numpy(drawn)}

        return Row(name, role, "exact", answer)

    def squeezed(split: Split) -> Answers:
        text = "".join(alphabet[i] for i in split.whole.tolist())
        return _nats(compress.squeezed(text.encode(), len(text) / split.spec.dims))

    found = [counts("unigram", "baseline", 1), counts("5-gram", "reference", 5)]
    return [*found, Row("xz", "compressor", "bound", squeezed)]


def _persistence(train: Split) -> Row:
    """Tomorrow is today, plus Gaussian steps with train's variance a column: forecasts, intervals and a likelihood."""
    spread = train.whole.to(torch.float64).diff(dim=0).square().mean(0).sqrt()  # (D,)

    def answer(split: Split) -> Answers:
        parts = list(batches(split))
        x = torch.cat([b.x for b in parts]).to(torch.float64)  # (N, T, D)
        last = torch.cat([b.cond[:, -1:] for b in parts if b.cond is not None]).to(torch.float64)  # (N, 1, D)
        steps = torch.cat((last, x), 1).diff(dim=1) / spread
        nll = (0.5 * steps.square() + spread.log() + 0.5 * math.log(2 * math.pi)).sum((1, 2))
        reach = spread * torch.arange(1, x.shape[1] + 1, dtype=torch.float64).sqrt()[:, None]  # (T, D)
        return {"nll": nll, "forecast": torch.stack([last + NormalDist().inv_cdf(q) * reach for q in QUANTILES], 1)}

    return Row("persistence", "baseline", "exact", answer)
