"""Translations of a split as one text: chrF and BLEU of the corpus, from counts that are summed over items.

BLEU (Papineni et al. 2002) has sacrebleu's tokens and smoothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from genfoundry.evaluation.bootstrap import Estimate, bootstrap_sums
from genfoundry.evaluation.metric import Metric
from genfoundry.evaluation.metrics.translation import TRANSLATE, compute_chrf, count_grams, read_texts, translate
from genfoundry.evaluation.scores import Array, Outputs, Scores, add_groups, with_ids
from genfoundry.evaluation.translated_items import translated_index

if TYPE_CHECKING:
    from genfoundry.evaluation.context import SplitContext


def count_corpus(outputs: Outputs, context: SplitContext) -> Scores:
    """ "chrf_counts" (n, 3 ORDERS) and "bleu_counts" (n, 10): what metrics of the corpus are summed from."""
    if "translated" not in outputs:
        return {}
    made, true = read_texts(outputs["translated"], context.split)
    counts = {"chrf_counts": count_grams(made, true), "bleu_counts": count_words(made, true)}
    return add_groups(counts, context.split, translated_index(context.split))


def count_words(made: list[str], true: list[str]) -> Array:
    """Return (n, 10): words of translation and target, then matching and all n-grams of a translation, n = 1..4."""
    from sacrebleu.metrics import BLEU

    metric = BLEU(effective_order=True)
    scores = (metric.sentence_score(a, [b]) for a, b in zip(made, true, strict=True))
    return np.array([[s.sys_len, s.ref_len, *s.counts, *s.totals] for s in scores], np.float64).reshape(-1, 10)


def compute_bleu(counts: Array) -> Array:
    """(..., 10) counts -> (...) of 100: BLEU of the corpus, with sacrebleu's smoothing."""
    from sacrebleu.metrics import BLEU

    def compute_row(row: Any) -> float:
        made, true, *grams = (int(n) for n in row)
        return float(BLEU.compute_bleu(grams[:4], grams[4:], made, true, smooth_method="exp").score)

    return np.apply_along_axis(compute_row, -1, counts)


def _of_corpus(scores: Scores, dims: int, *, name: str, score: str, statistic: Any) -> dict[str, Estimate]:
    sums, ids = with_ids(scores, score)
    return {name: bootstrap_sums(name, statistic, sums, ids)}


def _corpus(name: str, title: str, score: str, statistic: Callable[[Array], Array], description: str) -> Metric:
    return Metric(
        name=name,
        title=title,
        unit="of 100",
        direction="maximize",
        description=description,
        requires=TRANSLATE,
        group="translations",
        inputs=(score,),
        modalities=("pairs",),
        test_only=True,
        predict=translate,
        score=count_corpus,
        statistics=partial(_of_corpus, name=name, score=score, statistic=statistic),
    )


METRICS = (
    _corpus("chrf_corpus", "chrF, corpus", "chrf_counts", compute_chrf, "chrF of all translations as one text"),
    _corpus("bleu", "BLEU", "bleu_counts", compute_bleu,
            "BLEU of all translations, sacrebleu's tokens and smoothing"),
)  # fmt: skip
