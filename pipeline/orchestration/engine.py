"""Engines run a stage's work: in its own process, or as tasks on other machines (`ENGINE=ray`, `ENGINE=slurm`)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from genfoundry import config
from genfoundry.errors import UserError
from pipeline.orchestration.environment import ENGINE, ENGINES

R = TypeVar("R")


class Engine(Protocol):
    """Runs calls of a function that a module has at its top; arguments and results are plain values."""

    def map(self, function: Callable[..., R], calls: Sequence[tuple[Any, ...]]) -> list[R]:
        """Return the results, in the order of the calls."""


class Local:
    """Runs each call in this process, in order."""

    def map(self, function: Callable[..., R], calls: Sequence[tuple[Any, ...]]) -> list[R]:
        """Return the results, in the order of the calls."""
        # No pool: `genfoundry repro` runs a job a slot already, and each uses all the threads that it is given.
        return [function(*call) for call in calls]


@dataclass(frozen=True)
class Started:
    """An engine that is ready: `env` is for its stages, `room` so many jobs at once (None: what this machine has)."""

    env: Mapping[str, str] = field(default_factory=dict)
    room: int | None = None


def choose() -> Engine:
    """Return the engine that the environment variable GENFOUNDRY_ENGINE names.

    Raises:
        UserError: there is no such engine.
    """
    # Ray and submitit are optional extras, so their engines are imported only where they are asked for.
    name = _check(os.environ.get(ENGINE, ""))
    if name == "ray":
        from pipeline.orchestration.ray_engine import Ray

        return Ray()
    if name == "slurm":
        from pipeline.orchestration.slurm_engine import Slurm

        return Slurm()
    return Local()


@contextmanager
def start(name: str, run: config.Run, root: Path) -> Iterator[Started]:
    """Make an engine ready for the stages that run in the block; "" is the one that GENFOUNDRY_ENGINE names.

    Raises:
        UserError: there is no such engine, it is not installed, or it cannot do the work; before anything runs.
    """
    name = _check(name or os.environ.get(ENGINE, ""))
    if name == "ray":
        from pipeline.orchestration import ray_engine

        with ray_engine.start(run, root) as (env, room):
            yield Started({ENGINE: name, **env}, room)
    elif name == "slurm":
        from pipeline.orchestration import slurm_engine

        slurm_engine.check()  # here, before anything runs, not in the first stage
        yield Started({ENGINE: name}, slurm_engine.ROOM)
    else:
        yield Started()


def _check(name: str) -> str:
    if name and name not in ENGINES:
        raise UserError(f"ENGINE: expected {', '.join(ENGINES[:-1])} or {ENGINES[-1]}, got {name!r}")
    return name or "local"
