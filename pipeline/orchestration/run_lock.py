"""One `make repro` or `make retrain` at a time in a repository: a second one waits, and says so."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from genfoundry import paths

HELD = "GENFOUNDRY_RUN"  # set for all that a run starts: the lock is theirs, too
held: list[int] = []  # the lock's file, for jobs to inherit: it is free when they ended, too, though the run was killed


@contextmanager
def hold(root: Path) -> Iterator[None]:
    """Hold the lock while the block runs, once nobody else does; free when its processes end, however they end."""
    if os.environ.get(HELD):
        yield
        return
    (root / paths.RUN_LOCK).parent.mkdir(parents=True, exist_ok=True)
    with (root / paths.RUN_LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("genfoundry: waiting for another run in this repository to end", file=sys.stderr, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        os.environ[HELD] = "1"
        held.append(lock.fileno())
        try:
            yield
        finally:
            held.clear()
            del os.environ[HELD]
