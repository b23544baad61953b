"""Translations of some items' sources against their targets: chrF, and lines that are right in every character.

chrF (Popovic 2015) is computed as sacrebleu does: characters without blanks, grams of 1 to 6, recall weighing twice.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from genfoundry.evaluation.metric import Metric, Requirement
from genfoundry.evaluation.scores import Array, Outputs, Scores, add_groups
from genfoundry.evaluation.translated_items import TRANSLATED, translated_batch, translated_index

if TYPE_CHECKING:
    from torch import Tensor

    from genfoundry.data.splits.pairs import PairSplit
    from genfoundry.evaluation.context import SplitContext
    from genfoundry.splits import Split

ORDERS, RECALL = 6, 2.0  # of grams of characters that are counted; how much recall weighs


def translate(model: Any, context: SplitContext) -> Outputs:
    """ "translated" (n, T) int16: the translations of `translated_items`."""
    from genfoundry.data.iterate import EVAL_BATCH

    if context.split.spec.cond_levels is None:
        return {}
    return {"translated": translate_items(model, context.split, EVAL_BATCH)}


def translate_items(model: Any, split: Split, size: int) -> Tensor:
    """(n, T) int16: the translations, `size` at a time."""
    import torch

    batch, parts = translated_batch(split), []
    assert batch.cond is not None
    for part in torch.split(torch.arange(len(batch)), size):
        mask = None if batch.cond_mask is None else batch.cond_mask[part].to(model.device)
        parts.append(model.translate(batch.cond[part].to(model.device), mask).cpu().to(torch.int16))
    return torch.cat(parts)


def read_texts(translated: Tensor, split: Split) -> tuple[list[str], list[str]]:
    """Translations, and the targets that they should be."""
    pairs = cast("PairSplit", split)
    return pairs.texts(translated), pairs.texts(translated_batch(split).x)


def score_translations(outputs: Outputs, context: SplitContext) -> Scores:
    """ "chrf" (n,), of 100, and "exact_lines" (n,), 1 or 0."""
    if "translated" not in outputs:
        return {}
    made, true = read_texts(outputs["translated"], context.split)
    exact = np.array([a == b for a, b in zip(made, true, strict=True)], np.float64)
    scores = {"chrf": compute_chrf(count_grams(made, true)), "exact_lines": exact}
    return add_groups(scores, context.split, translated_index(context.split))


def count_grams(made: list[str], true: list[str]) -> Array:
    """(n, 3 ORDERS): of each order how many grams a translation has, its target has, and both have."""
    counts = np.zeros((len(made), ORDERS, 3))
    for row, pair in zip(counts, zip(made, true, strict=True), strict=True):
        ours, theirs = ("".join(text.split()) for text in pair)  # without blanks
        for order in range(ORDERS):
            a, b = (Counter(text[i : i + order + 1] for i in range(len(text) - order)) for text in (ours, theirs))
            # As in sacrebleu, an order counts only where the target has grams of it
            row[order] = a.total() if b else 0, b.total(), (a & b).total()
    return counts.reshape(len(made), -1)


def compute_chrf(counts: Array) -> Array:
    """(..., 3 ORDERS) counts -> (...) of 100: the F score of precision and recall, each averaged over the orders.

    Over those orders, that is, of which both texts have grams.
    """
    ours, theirs, both = np.moveaxis(counts.reshape(*counts.shape[:-1], ORDERS, 3), -1, 0)
    present = (ours > 0) & (theirs > 0)
    orders = np.maximum(present.sum(-1), 1)
    precision, recall = (np.where(present, both / np.maximum(n, 1), 0).sum(-1) / orders for n in (ours, theirs))
    weight = RECALL * RECALL  # beta squared
    return np.asarray(100 * (1 + weight) * precision * recall / np.maximum(weight * precision + recall, 1e-300))


TRANSLATE = Requirement(
    "translation", ("Translates",), lambda model, judge: "does not translate", reference="does not translate"
)


def _translation(name: str, title: str, unit: str, description: str, objective: bool) -> Metric:
    return Metric(
        name=name,
        title=title,
        unit=unit,
        direction="maximize",
        description=description,
        requires=TRANSLATE,
        group="translations",
        inputs=(name,),
        modalities=("pairs",),
        objective=objective,
        predict=translate,
        score=score_translations,
    )


METRICS = (
    _translation("chrf", "chrF", "of 100", "chrF of a translation, mean over test items (1,000, if there are so many)",
                 objective=True),
    _translation("exact_lines", "exact lines", "share",
                 f"translations that are right in every character, of {TRANSLATED:,} items", objective=False),
)  # fmt: skip
