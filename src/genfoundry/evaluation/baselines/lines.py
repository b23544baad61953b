"""Trivial models of lines of text: counted n-grams up to a line's end, and xz."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from genfoundry.data.iterate import stack_values
from genfoundry.data.splits.lines import END, lengths
from genfoundry.evaluation.baselines import compressors
from genfoundry.evaluation.baselines.base import LENGTH, TEXTS, Known, Row, nats
from genfoundry.evaluation.baselines.ngram import Ints, NGram
from genfoundry.evaluation.predictions import Answers
from genfoundry.seeding import derive_seed

if TYPE_CHECKING:
    from genfoundry.splits import Split


def anchors(known: Known) -> list[Row]:
    """None: n-grams take time to count."""
    return []


def rows(known: Known) -> list[Row]:
    """A unigram, a 5-gram, a 6-gram and xz. A line is given the end before it, and scored up to its own."""
    train, seed, alphabet = known.train, known.seed, known.alphabet

    def counts(name: str, role: Literal["baseline", "reference"], order: int) -> Row:
        model = NGram(stream(train), train.spec.levels or len(alphabet), order)

        def answer(split: Split) -> Answers:
            lines = stack_values(split)
            started = np.pad(lines, ((0, 0), (1, 0)), constant_values=END)
            p = model.probability(started)[:, 1:]
            inside = np.arange(lines.shape[1]) < lengths(lines)[:, None]
            drawn = model.sample(TEXTS, LENGTH, derive_seed(seed, name, split.name))
            return {"nll": torch.from_numpy(-np.log(p).sum(1, where=inside)), "samples": torch.from_numpy(drawn)}

        return Row(name, role, "exact", answer)

    def squeezed(split: Split) -> Answers:
        text = "".join(alphabet[i] for i in stream(split).tolist())
        return nats(compressors.squeezed(text.encode(), len(split)))

    found = [counts("unigram", "baseline", 1), counts("5-gram", "reference", 5), counts("6-gram", "reference", 6)]
    return [*found, Row("xz", "compressor", "bound", squeezed)]


def stream(split: Split) -> Ints:
    """The lines of a split one after the other, each with one end: (L,)."""
    lines = stack_values(split)
    found: Ints = lines[np.arange(lines.shape[1]) < lengths(lines)[:, None]].astype(np.int64)
    return found
