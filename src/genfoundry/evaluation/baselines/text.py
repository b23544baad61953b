"""Trivial models of text: counted n-grams, and xz."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

from genfoundry.data.iterate import stack_values
from genfoundry.evaluation.baselines import compressors
from genfoundry.evaluation.baselines.base import LENGTH, TEXTS, Known, Row, nats, no_likelihood
from genfoundry.evaluation.baselines.ngram import NGram
from genfoundry.evaluation.predictions import Answers
from genfoundry.seeding import derive_seed

if TYPE_CHECKING:
    from genfoundry.splits import Split


def anchors(known: Known) -> list[Row]:
    """None: n-grams take time to count."""
    return []


def rows(known: Known) -> list[Row]:
    """A unigram, a 5-gram, a 6-gram, and xz, which reads windows as one text as a model with a carried state does."""
    train, seed, alphabet = known.train, known.seed, known.alphabet

    def counts(name: str, role: Literal["baseline", "reference"], order: int) -> Row:
        model = NGram(train.tensor.cpu().numpy(), train.spec.levels or len(alphabet), order)

        def answer(split: Split) -> Answers:
            drawn = model.sample(TEXTS, LENGTH, derive_seed(seed, name, split.name))
            return {"nll": torch.from_numpy(model.nll(stack_values(split))), "samples": torch.from_numpy(drawn)}

        return Row(name, role, "exact", answer)

    def squeezed(split: Split) -> Answers:
        text = "".join(alphabet[i] for i in stack_values(split).ravel().tolist())
        return {"nll_carried": nats(compressors.squeezed(text.encode(), len(split)))["nll"]}

    found = [counts("unigram", "baseline", 1), counts("5-gram", "reference", 5), counts("6-gram", "reference", 6)]
    why = "no likelihood of a window: each is scored apart, and xz codes it by those before it"
    return [*found, Row("xz", "compressor", "bound", squeezed, no_likelihood(why))]
