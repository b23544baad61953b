"""One run at a time in a repository: a second `dvc repro` or `make repro` waits for the first, and says so.

DVC's own locks keep two runs from harming each other, but the second one fails as soon as they meet. `make repro` holds
a lock of its own for as long as it runs; `dvc repro` waits in the stage `turn`, the first that it visits, until nobody
holds that lock and no other DVC process is at work. Who is, DVC writes down in .dvc/tmp/rwlock.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

OURS = "GENFOUNDRY_TURN"  # set for all that a run starts: its turn is theirs
FILE = Path(".state/turn.lock")
EVERY = 0.5  # seconds between two looks


@contextmanager
def taken(root: Path) -> Iterator[None]:
    """Wait for the turn, and hold it while the block runs."""
    if os.environ.get(OURS):
        yield
        return
    (root / FILE).parent.mkdir(parents=True, exist_ok=True)
    with (root / FILE).open("a+") as lock:
        wait(root, lock.fileno())
        os.environ[OURS] = "1"
        try:
            yield
        finally:
            del os.environ[OURS]


def wait(root: Path, lock: int | None = None) -> None:
    """Return when no other run is at work in the repository; `lock`, an open file, is then held."""
    if os.environ.get(OURS):
        return
    said = False
    while who := _ahead(root, lock):
        if not said:
            print(f"genfoundry: waiting for {who}, which is at work in this repository", file=sys.stderr, flush=True)
        said = True
        time.sleep(EVERY)


def _ahead(root: Path, lock: int | None) -> str:
    """Who has the turn; "" if we have: then `lock` is held, and no DVC process began between the look and the lock."""
    who = _dvc(root) or _holder(root, lock)  # in this order: who holds the lock never waits for one that waits for it
    if not who and lock is not None and (who := _dvc(root)):
        fcntl.flock(lock, fcntl.LOCK_UN)
    return who


def _holder(root: Path, lock: int | None) -> str:
    """Who holds the lock of `make repro`; "" where nobody does, and then `lock` does."""
    if lock is None:
        if not (root / FILE).exists():
            return ""
        with (root / FILE).open("a+") as other:
            return _holder(root, other.fileno())
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return "make repro"
    return ""


def _dvc(root: Path) -> str:
    """Another DVC process that is at work; "" where none is.

    While DVC runs a stage's command its paths stand in rwlock; at all other times it holds .dvc/tmp/lock.
    """
    folder = root / ".dvc/tmp"
    try:
        with (folder / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            known = json.loads((folder / "rwlock").read_text(encoding="utf-8"))
    except BlockingIOError:
        return "a DVC command"
    except (FileNotFoundError, ValueError):
        return ""
    return _at_work(known)


def _at_work(known: dict[str, dict[str, Any]]) -> str:
    """The first of the live processes in rwlock that is before us: not an ancestor, not later in the queue."""
    pids = {info["pid"] for _, info in _entries(known)}
    if pids <= {os.getppid()}:  # the DVC that runs us: the usual case, for which psutil need not be imported
        return ""
    import psutil  # type: ignore[import-untyped]

    ours = {process.pid: process.create_time() for process in (psutil.Process(), *psutil.Process().parents())}
    held: dict[int, set[str]] = {}
    commands = {}
    for path, info in _entries(known):
        held.setdefault(info["pid"], set()).add(path)
        commands[info["pid"]] = info["cmd"]
    since = min(((ours[pid], pid) for pid in ours.keys() & pids), default=None)
    for pid in sorted(pids - ours.keys()):
        program, _, rest = commands[pid].partition(" ")
        try:
            process = psutil.Process(pid)
            born, known_as = (process.create_time(), pid), process.cmdline()
        except psutil.NoSuchProcess:  # killed: DVC strikes it out at its next look
            continue
        if program not in known_as:  # killed, and its number is another's now
            continue
        queued = all(Path(path).name == "turn.py" for path in held[pid])
        if not (queued and since is not None and since < born):
            return f"process {pid} ({Path(program).name} {rest})"
    return ""


def _entries(known: dict[str, dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Path and holder ({"pid", "cmd"}) of every lock: one that writes it, or several that read it."""
    for kind in known.values():
        for path, infos in kind.items():
            yield from ((path, info) for info in (infos if isinstance(infos, list) else [infos]))
