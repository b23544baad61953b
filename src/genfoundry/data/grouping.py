"""Groups that go to a split as a whole (plays, regions, patients): which split each goes to, and how many are enough.

A hash alone leaves some split with one group or none where there are few of them, and a figure over one group has no
interval. So the raw folder's own groups, in the order of their hashes, are counted off into the splits: the borders
between are numbers that do not move when data arrive, and a later group goes where its hash falls.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genfoundry import config
from genfoundry.data.base import HELD, hash_place, shares
from genfoundry.types import UserError

ENOUGH = 5  # groups: four degrees of freedom for the variance between them
SMALLER = {
    "text": "a smaller unit",
    "lines": "a smaller unit",
    "images": "a smaller patch.region or slices.block",
    "series": "a smaller window",
}  # what makes more groups of the same data, a modality


class FewGroups(UserError):
    """A held-out split has one group."""


def assign_groups(
    seed: int, raw: Collection[bytes], later: Iterable[bytes], dataset: config.Dataset, published: bool
) -> dict[bytes, str]:
    """The split of every group, by its content hash: `raw` groups are counted off, `later` ones follow their borders.

    Args:
        seed: of the hash.
        raw: the groups of the raw folder, less those of a published test split.
        later: those that the inbox brought.
        dataset: with the shares of the splits.
        published: whether the source has a test split, which no other group joins.
    """
    places = np.sort([hash_place(seed, group) for group in set(raw)])
    names, ends = [], []
    for name, end in zip(asked := shares(dataset, published), np.cumsum(quotas(len(places), asked)), strict=True):
        names.append(name)
        ends.append(float(places[end - 1 : end + 1].mean()) if end < len(places) else 1.0)
    found = {}
    for group in (*raw, *later):
        at = int(np.searchsorted(ends, hash_place(seed, group), side="right"))
        found[group] = names[at] if at < len(names) else "train"
    return found


def quotas(groups: int, asked: Mapping[str, float]) -> list[int]:
    """How many of so many groups each share is: `ENOUGH` or more where that leaves train as many, else evenly few."""
    least = min(ENOUGH, groups // (len(asked) + 1))
    found = [max(round(share * groups), least) for share in asked.values()]
    while sum(found) > groups - max(least, 1) and max(found) > least:
        found[found.index(max(found))] -= 1
    return found


def count_groups(splits: Mapping[str, Mapping[str, NDArray[Any]]]) -> dict[str, int]:
    """The number of groups of each split whose items have any."""
    return {name: len(np.unique(arrays["group"])) for name, arrays in splits.items() if "group" in arrays}


def require_groups(raw: Path, counts: Mapping[str, int], dataset: config.Dataset) -> None:
    """Refuse a held-out split of one group: nothing tells how much its figures would differ with another.

    Raises:
        FewGroups: names the split and what helps, where the entry does not have `split: {few_groups: true}`.
    """
    for name in HELD:
        if counts.get(name) == 1 and not dataset.split.few_groups:
            smaller = f"{SMALLER[dataset.modality]}, " if dataset.modality in SMALLER else ""
            raise FewGroups(
                f"{raw}: expected 2 groups or more in split {name}, got 1 (of {counts}): its items are no independent "
                f"ones; give it {smaller}a larger share or more data, or say `few_groups: true` under split"
            )


def numbered(groups: Sequence[bytes | str]) -> NDArray[np.int64]:
    """(N,) the number of each item's group, in the order in which groups first appear."""
    known: dict[bytes | str, int] = {}
    return np.array([known.setdefault(group, len(known)) for group in groups], np.int64)
