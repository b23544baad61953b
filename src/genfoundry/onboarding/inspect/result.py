"""What looking at files gives, and what every kind of data shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Inspection:
    """The keys of the entry that follow from the files, less `raw`; and what was seen and chosen, in words."""

    entry: dict[str, Any]
    said: list[str]


def choose_split_shares(items: int) -> dict[str, float]:
    """Few items need larger shares for figures that mean something."""
    if items < 2000:
        return {"val": 0.15, "gate": 0.15, "test": 0.2}
    return {"val": 0.1, "gate": 0.1, "test": 0.2} if items < 20000 else {"val": 0.05, "gate": 0.05, "test": 0.1}
