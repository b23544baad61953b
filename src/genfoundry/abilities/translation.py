"""Translations of some items' sources against their targets: chrF, BLEU and lines that are right in every character.

chrF (Popovic 2015) as sacrebleu computes it: characters without blanks, grams of 1 to 6, recall weighing twice. Its
mean over items is what a task can be ranked by; over a whole corpus it is, like BLEU (Papineni et al. 2002; sacrebleu's
tokens), computed from summed counts.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genfoundry.abilities.figures import ASKED, ORDERS, chrf
from genfoundry.baselines.base import chosen
from genfoundry.groups import grouped

if TYPE_CHECKING:
    from genfoundry.data.base import Split
    from genfoundry.data.pairs import Split as Pairs
    from genfoundry.types import Batch

Floats = NDArray[np.float64]


def asked(split: Split) -> Batch:
    """The items whose sources are translated, the same for everyone."""
    return split.batch(_index(split).to(split.whole.device))


def _index(split: Split) -> Tensor:
    return chosen(split, min(ASKED, len(split)))


def scores(translated: Tensor, split: Split) -> dict[str, NDArray[np.generic]]:
    """`chrf` (n,), of 100, and `exact_lines` (n,), 1 or 0, of translations (n, T) of what was `asked`."""
    made, true = texts(translated, split)
    exact = np.array([a == b for a, b in zip(made, true, strict=True)], np.float64)
    return grouped({"chrf": chrf(grams(made, true)), "exact_lines": exact}, split, _index(split))


def counted(translated: Tensor, split: Split) -> dict[str, NDArray[np.generic]]:
    """`chrf_counts` (n, 3 ORDERS) and `bleu_counts` (n, 10): what figures of the whole are summed from."""
    made, true = texts(translated, split)
    return grouped({"chrf_counts": grams(made, true), "bleu_counts": words(made, true)}, split, _index(split))


def texts(translated: Tensor, split: Split) -> tuple[list[str], list[str]]:
    """Translations, and the targets that they should be."""
    pairs = cast("Pairs", split)
    return pairs.texts(translated), pairs.texts(asked(split).x)


def grams(made: list[str], true: list[str]) -> Floats:
    """(n, 3 ORDERS): of each order how many grams a translation has, its target has, and both have."""
    found = np.zeros((len(made), ORDERS, 3))
    for row, pair in zip(found, zip(made, true, strict=True), strict=True):
        ours, theirs = ("".join(text.split()) for text in pair)
        for order in range(ORDERS):
            a, b = (Counter(text[i : i + order + 1] for i in range(len(text) - order)) for text in (ours, theirs))
            row[order] = a.total() if b else 0, b.total(), (a & b).total()
    return found.reshape(len(made), -1)


def words(made: list[str], true: list[str]) -> Floats:
    """(n, 10): words of a translation and of its target; of orders 1 to 4, grams that both have, and that it has."""
    from sacrebleu.metrics.bleu import BLEU

    metric = BLEU(effective_order=True)
    found = (metric.sentence_score(a, [b]) for a, b in zip(made, true, strict=True))
    return np.array([[s.sys_len, s.ref_len, *s.counts, *s.totals] for s in found], np.float64).reshape(-1, 10)


def table(translated: Tensor, split: Split, rows: int) -> str:
    """For a person: of some items the source, its translation and the true target, one below the other."""
    pairs, batch = cast("Pairs", split), asked(split)
    assert batch.cond is not None
    made, true = texts(translated, split)
    columns = zip(pairs.texts(batch.cond)[:rows], made[:rows], true[:rows], strict=True)
    names = ("source", "translated", "true")
    return "\n\n".join("\n".join(f"{n:<12}{line}" for n, line in zip(names, lines, strict=True)) for lines in columns)


def translated(model: Any, split: Split, size: int) -> Tensor:
    """(n, T) int16: the translations of what is `asked`, `size` at a time."""
    batch, parts = asked(split), []
    assert batch.cond is not None
    for index in torch.split(torch.arange(len(batch)), size):
        mask = None if batch.cond_mask is None else batch.cond_mask[index].to(model.device)
        parts.append(model.translate(batch.cond[index].to(model.device), mask).cpu().to(torch.int16))
    return torch.cat(parts)
