"""chrF (Popovic 2015) as sacrebleu computes it: characters without blanks, grams of 1 to 6, recall weighing twice."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
ASKED = 1000  # items of a split that are translated, or all if there are fewer
ORDERS, RECALL = 6, 2.0  # of grams of characters that are counted; how much recall weighs


def grams(made: list[str], true: list[str]) -> Array:
    """(n, 3 ORDERS): of each order how many grams a translation has, its target has, and both have."""
    found = np.zeros((len(made), ORDERS, 3))
    for row, pair in zip(found, zip(made, true, strict=True), strict=True):
        ours, theirs = ("".join(text.split()) for text in pair)
        for order in range(ORDERS):
            a, b = (Counter(text[i : i + order + 1] for i in range(len(text) - order)) for text in (ours, theirs))
            row[order] = a.total() if b else 0, b.total(), (a & b).total()
    return found.reshape(len(made), -1)


def chrf(counts: Array) -> Array:
    """(..., 3 ORDERS) counts -> (...) of 100: the F score of precision and recall, each averaged over the orders.

    Over those orders, that is, of which both texts have grams.
    """
    ours, theirs, both = np.moveaxis(counts.reshape(*counts.shape[:-1], ORDERS, 3), -1, 0)
    there = (ours > 0) & (theirs > 0)
    orders = np.maximum(there.sum(-1), 1)
    precision, recall = (np.where(there, both / np.maximum(n, 1), 0).sum(-1) / orders for n in (ours, theirs))
    weight = RECALL * RECALL
    return np.asarray(100 * (1 + weight) * precision * recall / np.maximum(weight * precision + recall, 1e-300))
