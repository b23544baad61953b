"""Two runs at once in one repository: the second waits, says for whom, and both end well."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pipelet
import pytest

from genfoundry import jobs, turns

GATE = """
import time
from pathlib import Path
print("at work", name, flush=True)
until = time.monotonic() + 60
while not Path("go").exists() and time.monotonic() < until:
    time.sleep(0.02)
"""
MAKE = "from pathlib import Path; from genfoundry import turns\nwith turns.taken(Path()): pass"
TURN = (sys.executable, "-m", "pipeline", "turn")


@pytest.mark.parametrize("dvc", [("dvc",), jobs.DVC])
def test_the_second_of_two_dvc_repro_waits(dvc: tuple[str, ...], tmp_path: Path) -> None:
    """And so does what takes a turn as `make repro` does: not even two that wait get into each other's way."""
    root = pipelet.make(tmp_path, GATE)
    one = pipelet.started(root, *dvc, "repro")
    pipelet.until(one, "at work")
    other = pipelet.started(root, "dvc", "repro")
    said = pipelet.until(other, "genfoundry: waiting for")
    assert f"process {one.pid} (dvc repro), which is at work in this repository" in said
    assert "Running stage 'code'" not in said
    make = pipelet.started(root, sys.executable, "-c", MAKE)
    pipelet.until(make, "genfoundry: waiting for")
    (root / "go").touch()
    ends = [process.communicate(timeout=120)[0] for process in (one, other, make)]
    assert [one.returncode, other.returncode, make.returncode] == [0, 0, 0], ends
    assert "Running stage 'act" not in ends[1]  # DVC has what the first one ran in its cache
    assert pipelet.locked(root) == {"turn", "code", "act@a", "act@b", "gather"}


def test_dvc_repro_waits_for_make_repro(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipelet, "dvc", lambda *words: subprocess.CompletedProcess(words, 0))
    root = pipelet.make(tmp_path)
    with turns.taken(root):
        waiting = pipelet.started(root, *TURN)
        pipelet.until(waiting, "genfoundry: waiting for make repro")
        assert waiting.poll() is None
        own = subprocess.run(TURN, cwd=root, env={**pipelet.env(), turns.OURS: "1"}, timeout=60)
        assert own.returncode == 0  # what the run itself starts does not wait for it
    assert waiting.wait(60) == 0
    assert turns.OURS not in os.environ


def entry(pid: int, *paths: str, program: str = "-c") -> dict[str, list[dict[str, object]]]:
    return {path: [{"pid": pid, "cmd": f"{program} repro -q"}] for path in paths}


def test_who_is_at_work() -> None:
    """Of those in DVC's list: not we or our ancestors, not the dead, and of two that wait the older goes first."""
    me, parent = os.getpid(), os.getppid()
    assert turns._at_work({"read": entry(me, "data"), "write": entry(parent, "out")}) == ""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert turns._at_work({"write": entry(child.pid, "out")}) == f"process {child.pid} (-c repro -q)"
        assert turns._at_work({"write": entry(child.pid, "out", program="/bin/dvc")}) == ""  # a number used again
        both = {"read": {**entry(me, "pipeline/turn.py"), "/x/pipeline/turn.py": entry(child.pid, "x")["x"]}}
        assert turns._at_work(both) == ""  # it waits too, and came later
        assert turns._at_work({"read": {**both["read"], **entry(child.pid, "data")}}) != ""
    finally:
        child.communicate(b"\n")
    assert turns._at_work({"write": entry(child.pid, "out")}) == ""
