"""Which split an item goes to, by a hash; and groups that go to one as a whole: plays, regions, patients.

Of few groups, a hash alone leaves some split one or none, and a figure over one group has no interval. So the raw
folder's own groups, in the order of their hashes, are counted off into the splits: the borders between are numbers that
do not move when data arrive, and a later group goes where its hash falls.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genfoundry import config
from genfoundry.errors import UserError
from genfoundry.seeding import derive_seed
from genfoundry.splits import HELD_OUT

ENOUGH = 5  # groups: four degrees of freedom for the variance between them
SMALLER = {
    "text": "a smaller unit",
    "lines": "a smaller unit",
    "images": "a smaller patch.region or slices.block",
    "series": "a smaller window",
}  # what makes more groups of the same data, a modality


class FewGroups(UserError):
    """A held-out split has one group."""


def assign(seed: int, digest: bytes, dataset: config.Dataset, published: bool) -> str:
    """The split of an item that is its own group: a hash of (seed, content), which never moves when other data arrive.

    The content is what a model sees, after all that `prepare` does to it: equal samples never lie in two splits,
    whatever files they came from. (Another `size` or `colour` hence makes another data set, split anew.) Where the
    source publishes a test split, `published`, no other item joins it; a published validation split is not kept, but
    spread over train, val and gate.
    """
    place = hash_place(seed, digest)
    for name, share in shares(dataset, published).items():
        if place < share:
            return name
        place -= share
    return "train"


def hash_place(seed: int, digest: bytes) -> float:
    """Where in 0..1 a content hash falls, evenly."""
    return derive_seed(seed, digest.hex()) / 2**63


def shares(dataset: config.Dataset, published: bool) -> dict[str, float]:
    """The shares of what is split, in the order in which the splits lie in 0..1; the rest is train."""
    found = {"val": dataset.split.val, "gate": dataset.split.gate}
    return found if published else {**found, "test": dataset.split.test}


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
    asked = shares(dataset, published)
    names, ends = list(asked), []
    for end, share in zip(np.cumsum(quotas(len(places), asked)), np.cumsum(list(asked.values())), strict=True):
        if end == 0:  # no raw group comes before this border: a share's, but below them all
            ends.append(min([share, *places[:1]]))
        else:
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
    for name in HELD_OUT:
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
