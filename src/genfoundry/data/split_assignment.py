"""Which split an item goes to, by a hash; and groups that go to one split: plays, regions, patients.

Of few groups, a hash alone leaves some split one or none, and a metric over one group has no interval. So the raw
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

MIN_GROUPS = 5  # four degrees of freedom for the variance between them
HINTS = {  # what makes more groups of the same data, a modality
    "text": "a smaller unit",
    "lines": "a smaller unit",
    "images": "a smaller patch.region or slices.block",
    "series": "a smaller window",
}


class FewGroups(UserError):
    """A held-out split has one group."""


def assign_split(seed: int, digest: bytes, dataset: config.Dataset, published: bool) -> str:
    """The split of an item that is its own group: a hash of (seed, content), which never moves when other data arrive.

    The content is what a model sees, after all that `prepare` does to it: equal samples never lie in two splits,
    whatever files they came from. (Another `size` or `colour` hence makes another data set, split anew.) Where the
    source publishes a test split, `published`, no other item joins it; a published validation split is spread over
    train, val and gate.
    """
    # Held-out shares come first, so that train takes up the rest when a share changes
    place = hash_to_unit(seed, digest)
    for name, share in split_shares(dataset, published).items():
        if place < share:
            return name
        place -= share
    return "train"


def hash_to_unit(seed: int, digest: bytes) -> float:
    """Where in 0..1 a content hash falls, evenly."""
    return derive_seed(seed, digest.hex()) / 2**63


def split_shares(dataset: config.Dataset, published: bool) -> dict[str, float]:
    """The shares of the held-out splits that are drawn, in the order in which they lie in 0..1; the rest is train."""
    shares = {"val": dataset.split.val, "gate": dataset.split.gate}
    return shares if published else {**shares, "test": dataset.split.test}


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
    # Borders are numbers, not groups: half way between two raw groups, where data that arrive later may fall, too
    places = np.sort([hash_to_unit(seed, group) for group in set(raw)])
    shares = split_shares(dataset, published)
    names, ends = list(shares), []
    for end, share in zip(np.cumsum(quotas(len(places), shares)), np.cumsum(list(shares.values())), strict=True):
        if end == 0:  # no raw group comes before this border: a share's, but below them all
            ends.append(min([share, *places[:1]]))
        else:
            ends.append(float(places[end - 1 : end + 1].mean()) if end < len(places) else 1.0)
    split_of = {}
    for group in (*raw, *later):
        # "right": a group on a border belongs to the split after it
        at = int(np.searchsorted(ends, hash_to_unit(seed, group), side="right"))
        split_of[group] = names[at] if at < len(names) else "train"
    return split_of


def quotas(groups: int, shares: Mapping[str, float]) -> list[int]:
    """Number of groups for each share: `MIN_GROUPS` or more where that leaves train as many, else evenly few."""
    least = min(MIN_GROUPS, groups // (len(shares) + 1))
    counts = [max(round(share * groups), least) for share in shares.values()]
    # Taken from the largest first, as long as train would have fewer than the least of them
    while sum(counts) > groups - max(least, 1) and max(counts) > least:
        counts[counts.index(max(counts))] -= 1
    return counts


def count_groups(splits: Mapping[str, Mapping[str, NDArray[Any]]]) -> dict[str, int]:
    """The number of groups of each split whose items have any."""
    return {name: len(np.unique(arrays["group"])) for name, arrays in splits.items() if "group" in arrays}


def require_groups(raw: Path, counts: Mapping[str, int], dataset: config.Dataset) -> None:
    """Refuse a held-out split of one group: nothing tells how much its metrics would differ with another.

    Raises:
        FewGroups: names the split and what helps, where the entry does not have `split: {few_groups: true}`.
    """
    for name in HELD_OUT:
        if counts.get(name) == 1 and not dataset.split.few_groups:
            hint = f"{HINTS[dataset.modality]}, " if dataset.modality in HINTS else ""
            raise FewGroups(
                f"{raw}: expected 2 groups or more in split {name}, got 1 (of {counts}): its items are no independent "
                f"ones; give it {hint}a larger share or more data, or say `few_groups: true` under split"
            )


def number_groups(groups: Sequence[bytes | str]) -> NDArray[np.int64]:
    """(N,) the number of each item's group, in the order in which groups first appear."""
    numbers: dict[bytes | str, int] = {}
    return np.array([numbers.setdefault(group, len(numbers)) for group in groups], np.int64)
