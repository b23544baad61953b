"""What the engines' tests send to workers: functions of a module that workers can import."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from genfoundry.errors import UserError


def describe(path: str, number: int) -> tuple[int, int, str, dict[str, str]]:
    """The number, this process, its folder and its environment; says so on both streams."""
    print(f"out {number}")
    os.system(f"echo shell {number}")
    print(f"err {number}", file=sys.stderr)
    return number, os.getpid(), os.getcwd(), dict(os.environ)


def fail(path: str, number: int) -> int:
    if number == 1:
        raise UserError("max_minutes.vae: 3 reached")
    return number


def crash(path: str) -> None:
    raise ZeroDivisionError("a mistake of ours")


def die(path: str, times: int) -> int:
    """Count how often this was called, and die as often as told."""
    log = Path("called")
    with log.open("a") as file:
        file.write("x")
    if len(log.read_text()) <= times:
        os.kill(os.getpid(), signal.SIGKILL)
    return len(log.read_text())


def meet(path: str, mine: str, other: str) -> str:
    """Ends only when another call runs at the same time."""
    Path(mine).touch()
    until = time.monotonic() + 60
    while not Path(other).exists():
        assert time.monotonic() < until
        time.sleep(0.02)
    return mine


def linger(path: str) -> None:
    """Say who this is, and go on for a minute."""
    Path("pid.part").write_text(str(os.getpid()))
    Path("pid.part").rename("pid")
    until = time.monotonic() + 60
    while time.monotonic() < until:
        time.sleep(0.05)
