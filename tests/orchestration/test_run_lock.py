"""A second run waits for the first, and says so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import toy

from pipeline.orchestration import run_lock

ROOT = Path(__file__).parent.parent.parent
SECOND = "from pathlib import Path; from pipeline.orchestration import run_lock\n"
SECOND += "with run_lock.hold(Path()): print('ran')"
ENV = {**toy.ENV, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"}


def test_the_second_of_two_runs_waits(tmp_path: Path) -> None:
    with run_lock.hold(tmp_path):
        second = subprocess.Popen(
            [sys.executable, "-c", SECOND],
            cwd=tmp_path,
            env=ENV,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert second.stderr is not None
        assert second.stderr.readline() == "genfoundry: waiting for another run in this repository to end\n"
        assert second.poll() is None
        own = subprocess.run(
            [sys.executable, "-c", SECOND], cwd=tmp_path, env={**ENV, run_lock.HOLDER: "1"}, timeout=60, text=True
        )
        assert own.returncode == 0, "what the run itself starts does not wait for it"
        with run_lock.hold(tmp_path):
            pass
    assert second.communicate(timeout=60) == ("ran\n", "")
    assert run_lock.HOLDER not in os.environ


KILLED = """
import os, signal, sys, threading, time
from pathlib import Path
from pipeline.orchestration import run_lock, scheduler
from pipeline.orchestration.dag import Job

def kill():
    while not Path("up").exists():
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)

threading.Thread(target=kill).start()
JOB = "import time; from pathlib import Path; Path('up').touch(); time.sleep(4); Path('over').touch()"
with run_lock.hold(Path()):
    scheduler.run({"a": Job("a", (sys.executable, "-c", JOB))}, [{}], Path(), {})
"""


def test_a_run_that_is_killed_leaves_the_lock_to_its_jobs(tmp_path: Path) -> None:
    """Else the next run would start what they still do."""
    first = subprocess.run([sys.executable, "-c", KILLED], cwd=tmp_path, env=ENV, stdout=subprocess.DEVNULL, timeout=60)
    assert first.returncode == -signal.SIGKILL and not (tmp_path / "over").exists()
    second = subprocess.run([sys.executable, "-c", SECOND], cwd=tmp_path, env=ENV, capture_output=True, timeout=60)
    assert b"waiting for another run" in second.stderr and (tmp_path / "over").exists()
