"""Trivial translations: the source as it is, and word by word from a dictionary."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import torch

from genfoundry.data.iterate import iter_batches
from genfoundry.evaluation.baselines.base import Known, Row
from genfoundry.evaluation.predictions import Answers
from genfoundry.evaluation.predictions.translation import asked

if TYPE_CHECKING:
    from genfoundry.data.splits.pairs import PairSplit
    from genfoundry.splits import Split


def anchors(known: Known) -> list[Row]:
    """The source as it is."""
    return [_row("copy", lambda source: source)]


def rows(known: Known) -> list[Row]:
    """The source as it is, and a dictionary learnt from train."""
    words = dictionary(known.train)
    return [*anchors(known), _row("dictionary", lambda source: " ".join(words.get(w, w) for w in source.split(" ")))]


def dictionary(train: Split) -> dict[str, str]:
    """Word of a source -> what most often stands in its place in targets of as many words; of equals the first."""
    pairs, seen = cast("PairSplit", train), defaultdict[str, Counter[str]](Counter)
    for batch in iter_batches(train):
        assert batch.cond is not None
        for source, target in zip(pairs.texts(batch.cond), pairs.texts(batch.x), strict=True):
            ours, theirs = source.split(" "), target.split(" ")
            if len(ours) == len(theirs):
                for word, other in zip(ours, theirs, strict=True):
                    seen[word][other] += 1
    return {word: min(others, key=lambda w: (-others[w], w)) for word, others in seen.items()}


def _row(name: str, translate: Callable[[str], str]) -> Row:
    def answer(split: Split) -> Answers:
        batch, pairs, levels = asked(split), cast("PairSplit", split), split.spec.levels or 0
        assert batch.cond is not None
        made = torch.full(batch.x.shape, levels - 1, dtype=torch.int16)
        for row, source in zip(made, pairs.texts(batch.cond), strict=True):
            codes = pairs.codes(translate(source))[: len(row)]
            row[: len(codes)] = codes
        return {"translated": made}

    return Row(name, "baseline", "none", answer)
