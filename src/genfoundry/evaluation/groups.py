"""Which items are independent: the group (a play, a region, a patient) of every score, beside it.

Items of one group are alike beyond what they share with all others, so that a mean over many items of few groups is as
uncertain as one over few items: what is resampled is a group (cluster sampling: Cochran 1977, chapter 9).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from genfoundry.evaluation.objectives import GROUP

if TYPE_CHECKING:
    from torch import Tensor

    from genfoundry.evaluation.objectives import Scores
    from genfoundry.splits import Split


def grouped(scores: Scores, split: Split, index: Tensor | None = None) -> dict[str, NDArray[np.generic]]:
    """The scores, and beside each `<name>` its `<name>_group` (n,) int64: the groups of the items that it is of.

    Args:
        scores: arrays (n, ...), a row an item; one of a single row stands for the whole split, and has no groups.
        split: what the items are of.
        index: (n,) which items, in order; all of them where it is None.

    Returns:
        The same scores alone where each item of the split is a group of its own.

    Raises:
        ValueError: a score has another number of rows than there are items.
    """
    every = split.groups.numpy()
    of = every if index is None else every[index.cpu().numpy()]
    found: dict[str, NDArray[np.generic]] = dict(scores)
    if len(np.unique(every)) == len(every) and len(np.unique(of)) == len(of):  # an index may name an item twice
        return found
    for name, values in scores.items():
        if len(values) == len(of):
            found[name + GROUP] = of
        elif len(values) != 1:
            raise ValueError(f"{name}: expected a row for each of {len(of)} items, got {len(values)}")
    return found
