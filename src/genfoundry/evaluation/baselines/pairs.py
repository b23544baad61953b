"""Baselines of translation: the source as it is, and word by word from a dictionary."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import torch

from genfoundry.data.iterate import iter_batches
from genfoundry.evaluation.baselines.base import Baseline, BaselineInputs
from genfoundry.evaluation.scores import Outputs
from genfoundry.evaluation.translated_items import translated_batch

if TYPE_CHECKING:
    from genfoundry.data.splits.pairs import PairSplit
    from genfoundry.splits import Split


def fit_anchors(inputs: BaselineInputs) -> list[Baseline]:
    """The source as it is."""
    return [_translator("copy", lambda source: source)]


def fit_baselines(inputs: BaselineInputs) -> list[Baseline]:
    """The source as it is, and a dictionary that is counted over the training pairs."""
    words = fit_dictionary(inputs.train)
    translate = lambda source: " ".join(words.get(w, w) for w in source.split(" "))  # noqa: E731
    return [*fit_anchors(inputs), _translator("dictionary", translate)]


def fit_dictionary(train: Split) -> dict[str, str]:
    """Source word -> the most frequent word at its position in targets of equal length, ties in alphabetical order."""
    pairs, counts = cast("PairSplit", train), defaultdict[str, Counter[str]](Counter)
    for batch in iter_batches(train):
        assert batch.cond is not None
        for source, target in zip(pairs.texts(batch.cond), pairs.texts(batch.x), strict=True):
            source_words, target_words = source.split(" "), target.split(" ")
            if len(source_words) == len(target_words):
                for word, translation in zip(source_words, target_words, strict=True):
                    counts[word][translation] += 1
    return {word: min(others, key=lambda w: (-others[w], w)) for word, others in counts.items()}


def _translator(name: str, translate: Callable[[str], str]) -> Baseline:
    def predict(split: Split) -> Outputs:
        batch, pairs, levels = translated_batch(split), cast("PairSplit", split), split.spec.levels or 0
        assert batch.cond is not None
        targets = torch.full(batch.x.shape, levels - 1, dtype=torch.int16)  # (n, T) of the end
        for row, source in zip(targets, pairs.texts(batch.cond), strict=True):
            codes = pairs.codes(translate(source))[: len(row)]  # at most T
            row[: len(codes)] = codes
        return {"translated": targets}

    return Baseline(name, "baseline", "none", predict)
