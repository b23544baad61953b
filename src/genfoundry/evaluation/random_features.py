"""A judge's network with random weights: what its features see without any training, kept in the judge's folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from genfoundry.models import checkpoint

if TYPE_CHECKING:
    from genfoundry.models.base import Learner
    from genfoundry.splits import Split

FOLDER = "control"


@runtime_checkable
class Controlled(Protocol):
    """A judge that can build its own network with random weights, for comparison."""

    def build_control(self, data: Split) -> Learner:
        """The network with random weights, calibrated on `data` (train)."""


def save(judge: Learner, folder: Path, data: Split) -> None:
    """Write the control of a judge into the judge's folder, if it has one."""
    if isinstance(judge, Controlled):
        checkpoint.save(folder / FOLDER, judge.build_control(data), {"dataset": folder.name})


def load(folder: Path | None, device: str = "cpu") -> Learner | None:
    """Load the control in a judge's folder; None for a data set that has no judge."""
    return checkpoint.load(folder / FOLDER, device) if folder else None
