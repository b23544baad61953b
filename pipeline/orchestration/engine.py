"""Where a stage's work is done: in its own process, or as tasks on other machines (`ENGINE=ray`, `ENGINE=slurm`)."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from genfoundry.types import UserError

R = TypeVar("R")
ENGINE = "GENFOUNDRY_ENGINE"


class Engine(Protocol):
    """Runs calls of a function that a module has at its top; arguments and results are plain values."""

    def map(self, function: Callable[..., R], calls: Sequence[tuple[Any, ...]]) -> list[R]:
        """The results, in the order of the calls."""


class Local:
    """Runs each call in this process, in order."""

    def map(self, function: Callable[..., R], calls: Sequence[tuple[Any, ...]]) -> list[R]:
        """The results, in the order of the calls."""
        return [function(*call) for call in calls]


def choose() -> Engine:
    """The engine that the environment variable GENFOUNDRY_ENGINE names.

    Raises:
        UserError: there is no such engine.
    """
    name = os.environ.get(ENGINE, "") or "local"
    if name == "local":
        return Local()
    raise UserError(f"{ENGINE}: expected local, ray or slurm, got {name!r}")
