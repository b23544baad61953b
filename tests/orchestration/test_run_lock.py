"""A second run waits for the first, and says so."""

from __future__ import annotations

import os
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
            [sys.executable, "-c", SECOND], cwd=tmp_path, env={**ENV, run_lock.HELD: "1"}, timeout=60, text=True
        )
        assert own.returncode == 0, "what the run itself starts does not wait for it"
        with run_lock.hold(tmp_path):
            pass
    assert second.communicate(timeout=60) == ("ran\n", "")
    assert run_lock.HELD not in os.environ
