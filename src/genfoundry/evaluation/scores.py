"""Scores of items (numpy arrays, a row an item) and the independent groups that the items come in.

Items of one group (a play, a region, a patient) are alike beyond what they share with all others, so that a mean over
many items of few groups is as uncertain as one over few items: what is resampled is a group (cluster sampling: Cochran
1977, chapter 9).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from genfoundry.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from genfoundry.splits import Split

Array: TypeAlias = NDArray[np.float64]
Ids: TypeAlias = NDArray[np.int64]
Scores: TypeAlias = Mapping[str, NDArray[np.generic]]  # name -> (n, ...), a row an item
Outputs: TypeAlias = dict[str, Any]  # what a model predicts, by name; tensors on the CPU
GROUP = "_group"  # "<name>_group" (n,) int64 beside a score "<name>" (n, ...): the independent unit of each item


def group_ids(scores: Scores, name: str) -> Ids | None:
    """Groups (n,) of a score's items; None where every item is a group of its own.

    Raises:
        UserError: there are not as many ids as items.
    """
    ids = scores.get(f"{name}{GROUP}")
    if ids is None:
        return None
    if len(ids) != len(scores[name]):
        raise UserError(f"{name}{GROUP}: expected {len(scores[name])} ids, one an item, got {len(ids)}")
    return np.asarray(ids, np.int64)


def with_ids(scores: Scores, name: str) -> tuple[Array, Ids | None]:
    """A score as float64, and the groups of its items."""
    return np.asarray(scores[name], np.float64), group_ids(scores, name)


def add_groups(scores: Scores, split: Split, index: Tensor | None = None) -> dict[str, NDArray[np.generic]]:
    """Return the scores, and beside each `<name>` the groups of its items, `<name>_group` (n,) int64.

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
    ids = every if index is None else every[index.cpu().numpy()]
    grouped: dict[str, NDArray[np.generic]] = dict(scores)
    if len(np.unique(every)) == len(every) and len(np.unique(ids)) == len(ids):  # an index may name an item twice
        return grouped
    for name, values in scores.items():
        if len(values) == len(ids):
            grouped[name + GROUP] = ids
        elif len(values) != 1:
            raise ValueError(f"{name}: expected a row for each of {len(ids)} items, got {len(values)}")
    return grouped
