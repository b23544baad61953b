"""Baselines of lines of text: n-gram models up to a line's end, and xz; no anchors, as of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from genfoundry.data.iterate import stack_values
from genfoundry.data.splits.lines import END, lengths
from genfoundry.evaluation.baselines.base import Baseline, BaselineInputs, nll_from_bits
from genfoundry.evaluation.baselines.compressors import xz_text_bits
from genfoundry.evaluation.baselines.ngram import Floats, Ints, NGram, fit_ngrams
from genfoundry.evaluation.scores import Outputs

if TYPE_CHECKING:
    from genfoundry.splits import Split


def fit_baselines(inputs: BaselineInputs) -> list[Baseline]:
    """N-gram models and xz. A line is given the end of the line before it, and scored up to its own."""

    def compress(split: Split) -> Outputs:
        return nll_from_bits(xz_text_bits(join_lines(split), inputs.alphabet, len(split)))

    ngrams = fit_ngrams(inputs, join_lines(inputs.train), _nll)
    return [*ngrams, Baseline("xz", "compressor", "bound", compress)]


def _nll(model: NGram, split: Split) -> Floats:
    lines = stack_values(split)  # (N, T)
    # The end of the line before gives the first character a history
    p = model.probability(np.pad(lines, ((0, 0), (1, 0)), constant_values=END))[:, 1:]
    return np.asarray(-np.log(p).sum(1, where=_inside(lines)))


def _inside(lines: Ints) -> np.ndarray:
    """(N, T) -> (N, T) bool: whether a character is in its line, the end included."""
    return np.asarray(np.arange(lines.shape[1]) < lengths(lines)[:, None])


def join_lines(split: Split) -> Ints:
    """The lines of a split one after the other, each with one end: (L,)."""
    lines = stack_values(split)
    joined: Ints = lines[_inside(lines)].astype(np.int64)
    return joined
