"""Baselines of text: n-gram models, and xz; no anchors, since n-grams take time to count."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genfoundry.data.iterate import stack_values
from genfoundry.evaluation.baselines.base import Baseline, BaselineInputs, nll_from_bits
from genfoundry.evaluation.baselines.compressors import xz_text_bits
from genfoundry.evaluation.baselines.ngram import fit_ngrams
from genfoundry.evaluation.scores import Outputs

if TYPE_CHECKING:
    from genfoundry.splits import Split


def fit_baselines(inputs: BaselineInputs) -> list[Baseline]:
    """N-gram models, and xz, which reads windows as one text, as a model with a carried state does."""

    def compress(split: Split) -> Outputs:
        bits = xz_text_bits(stack_values(split).ravel(), inputs.alphabet, len(split))
        return {"nll_carried": nll_from_bits(bits)["nll"]}

    ngrams = fit_ngrams(inputs, inputs.train.tensor.cpu().numpy(), lambda model, split: model.nll(stack_values(split)))
    reason = "no likelihood of a window: each is scored apart, and xz codes it by those before it"
    return [*ngrams, Baseline("xz", "compressor", "bound", compress, reason)]
