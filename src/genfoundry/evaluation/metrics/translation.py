"""Translations as a whole: chrF and BLEU of a corpus, from counts that are summed over items; and a table to read.

BLEU (Papineni et al. 2002) has sacrebleu's tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from genfoundry.evaluation.chrf import grams
from genfoundry.evaluation.groups import grouped
from genfoundry.evaluation.predictions.translation import asked, index, texts

if TYPE_CHECKING:
    from genfoundry.data.splits.pairs import PairSplit
    from genfoundry.splits import Split

Floats = NDArray[np.float64]


def counted(translated: Tensor, split: Split) -> dict[str, NDArray[np.generic]]:
    """`chrf_counts` (n, 3 ORDERS) and `bleu_counts` (n, 10): what figures of the whole are summed from."""
    made, true = texts(translated, split)
    return grouped({"chrf_counts": grams(made, true), "bleu_counts": words(made, true)}, split, index(split))


def words(made: list[str], true: list[str]) -> Floats:
    """(n, 10): words of a translation and of its target; of orders 1 to 4, grams that both have, and that it has."""
    from sacrebleu.metrics import BLEU

    metric = BLEU(effective_order=True)
    found = (metric.sentence_score(a, [b]) for a, b in zip(made, true, strict=True))
    return np.array([[s.sys_len, s.ref_len, *s.counts, *s.totals] for s in found], np.float64).reshape(-1, 10)


def table(translated: Tensor, split: Split, rows: int) -> str:
    """For a person: of some items the source, its translation and the true target, one below the other."""
    pairs, batch = cast("PairSplit", split), asked(split)
    assert batch.cond is not None
    made, true = texts(translated, split)
    columns = zip(pairs.texts(batch.cond)[:rows], made[:rows], true[:rows], strict=True)
    names = ("source", "translated", "true")
    return "\n\n".join("\n".join(f"{n:<12}{line}" for n, line in zip(names, lines, strict=True)) for lines in columns)
