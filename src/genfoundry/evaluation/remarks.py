"""Remarks on the items that a table's metrics are computed from: few independent groups, or many labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import torch

from genfoundry.data.iterate import iter_batches

if TYPE_CHECKING:
    from genfoundry.splits import Split

FEW = 20  # independent groups: fewer, and an interval rests on its t quantile more than on data


def list_remarks(held_out: Mapping[str, Split], labels: int | None) -> Iterator[str]:
    """A line each, of the held-out splits by name and the number of labels that a model is trained on, if that is set.

    Classes that are predicted from few labels would in practice be chosen and ranked on no more than these: where many
    labels of `val` rank models that were trained on few, the ranking is better known than it could be in use (Oliver et
    al. 2018, arXiv:1804.09170, section 4.6).
    """
    small = {name: count for name, split in held_out.items() if (count := _count_groups(split)) < FEW}
    if small:
        yield "few independent groups: " + ", ".join(f"{count} in {name}" for name, count in small.items())
    if labels and (labelled := _count_labelled(held_out["val"])) > labels:
        times = f"{labelled / labels:.3g} times the {labels:,} labels of training"
        yield f"ranked on {labelled:,} labelled items of val, {times}"


def _count_groups(split: Split) -> int:
    """Independent groups of a split's items; each item is its own where the split knows of no groups."""
    group = getattr(split, "groups", None)
    return len(split) if group is None else len(torch.unique(group))


def _count_labelled(split: Split) -> int:
    return sum(int((b.label >= 0).sum()) for b in iter_batches(split) if b.label is not None)
