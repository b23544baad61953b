"""One `make repro` or `make retrain` at a time in a repository: a second one waits, and says so."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from genfoundry import paths

HOLDER = "GENFOUNDRY_RUN"  # set for all that a run starts: the lock is theirs, too
inherited: list[int] = []  # the lock's descriptor, for jobs: they hold it until they end, though the run was killed
logger = logging.getLogger(__name__)


@contextmanager
def hold(root: Path) -> Iterator[None]:
    """Hold the lock while the block runs, once nobody else does; free when its processes end, however they end."""
    if os.environ.get(HOLDER):
        yield
        return
    (root / paths.RUN_LOCK).parent.mkdir(parents=True, exist_ok=True)
    with (root / paths.RUN_LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.warning("waiting for another run in this repository to end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        os.environ[HOLDER] = "1"
        inherited.append(lock.fileno())
        try:
            yield
        finally:
            inherited.clear()
            del os.environ[HOLDER]
