"""Result of an inspection, and the choices that kinds of data share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

LARGEST = 64  # height and width of images: what a model of this project learns on two cores in minutes


@dataclass(frozen=True)
class Inspection:
    """Keys of a data set's entry that follow from its files, without `raw`; a line for each choice and finding."""

    entry: dict[str, Any]
    notes: list[str]


def choose_split_shares(items: int) -> dict[str, float]:
    """Shares of the splits: with few items the held-out ones need larger shares for metrics that mean something."""
    if items < 2000:
        return {"val": 0.15, "gate": 0.15, "test": 0.2}
    return {"val": 0.1, "gate": 0.1, "test": 0.2} if items < 20000 else {"val": 0.05, "gate": 0.05, "test": 0.1}
