"""Stages forked from a warm process are the stages that Python starts: what they read, say, write and end with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pipelet
import psutil
import pytest
from pipelet import good

from genfoundry import turns, warm

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="no file descriptors of processes here")
TOLD = 'import os, sys; print("stage", name, os.getpid(), "torch" in sys.modules, os.environ["MARK"], flush=True)\n'
SLEPT = TOLD + "import time; time.sleep(60)\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = pipelet.make(tmp_path / "root", TOLD)
    good(pipelet.dvc(root, "repro", "-q", "code"))
    return root


@pytest.fixture
def where(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The socket of a process that answers."""
    monkeypatch.setenv("PYTHONPATH", str(pipelet.ROOT / "src"))
    with warm.kept(root) as found:
        until = time.monotonic() + 30
        while not os.path.exists(found[warm.WHERE]):
            assert time.monotonic() < until
            time.sleep(0.05)
        yield found[warm.WHERE]


def start(root: Path, where: str, key: str = "a", stage: str = "act@a") -> subprocess.Popen[str]:
    """A stage's process as DVC starts it."""
    env = {**pipelet.env(), "DVC_STAGE": stage, warm.WHERE: where, "MARK": "mark"}
    command = [sys.executable, "-m", "pipeline", "act", key]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
    return subprocess.Popen(command, cwd=root, env=env, text=True, **pipes)  # type: ignore[call-overload,no-any-return]


def ended(root: Path, where: str, **more: str) -> tuple[int, str, str]:
    process = start(root, where, **more)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def gone(pid: int) -> bool:
    until = time.monotonic() + 30
    while psutil.pid_exists(pid) and time.monotonic() < until:
        time.sleep(0.05)
    return not psutil.pid_exists(pid)


def test_it_has_the_environment_streams_and_folder_of_its_own_process_and_torch_is_there(
    root: Path, where: str
) -> None:
    process = start(root, where)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    _, name, pid, torch, mark = out.split()
    assert (name, torch, mark) == ("a", "True", "mark") and int(pid) != process.pid
    assert (root / "out/a").read_text() == "xa"


def test_where_nobody_answers_it_runs_by_itself(root: Path) -> None:
    assert ended(root, str(root / "none"))[1].split()[3] == "False"


def test_the_code_is_read_as_it_stands(root: Path, where: str) -> None:
    assert ended(root, where)[0] == 0
    for name in ("act", "__main__"):
        path = root / f"pipeline/{name}.py"
        path.write_text(
            f"print('edited {name}')\n" + path.read_text().replace("from __future__ import annotations", "")
        )
    good(pipelet.dvc(root, "repro", "-q", "code"))
    status, out, err = ended(root, where)
    assert (status, err) == (0, "")
    assert "edited act" in out and "edited __main__" in out and "True" in out


def test_a_mistake_is_one_line_and_a_bug_a_traceback(root: Path, where: str) -> None:
    pipelet.hooked(root, "from genfoundry.types import UserError; raise UserError('a mistake')")
    assert ended(root, where) == (1, "", "genfoundry act:a: a mistake\n")
    pipelet.hooked(root, "import os; os.kill(os.getpid(), 9)")
    assert ended(root, where)[0] == 128 + 9
    pipelet.hooked(root, "1 / 0")
    status, _, err = ended(root, where)
    assert status == 1 and "ZeroDivisionError" in err and "Traceback" in err


def test_two_run_at_once(root: Path, where: str) -> None:
    pipelet.hooked(root, TOLD + "import sys; sys.stdin.read() if name == 'a' else None\n")
    env = {**pipelet.env(), "DVC_STAGE": "act@a", warm.WHERE: where, "MARK": "mark"}
    first = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "act", "a"], cwd=root, env=env, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert first.stdout is not None and "stage a" in first.stdout.readline()
    assert ended(root, where, key="b", stage="act@b")[0] == 0
    assert first.poll() is None
    first.communicate("", timeout=60)
    assert first.returncode == 0


def test_ctrl_c_reaches_it_once_and_it_says_so(root: Path, where: str) -> None:
    pipelet.hooked(root, SLEPT)
    process = start(root, where)
    assert process.stdout is not None and "stage a" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == "genfoundry act:a: interrupted; run it again to go on from the last checkpoint\n"


def test_it_ends_with_the_process_that_waits_for_it(root: Path, where: str) -> None:
    pipelet.hooked(root, SLEPT)
    process = start(root, where)
    assert process.stdout is not None
    pid = int(process.stdout.readline().split()[2])
    process.kill()
    process.wait()
    assert gone(pid)
    pipelet.hooked(root, TOLD)
    assert ended(root, where)[1].split()[3] == "True"  # the warm process goes on


def test_another_number_of_threads_is_a_process_of_its_own(root: Path, where: str) -> None:
    path = root / "params.yaml"
    path.write_text(path.read_text().replace("threads: 1", "threads: 2"))
    good(pipelet.dvc(root, "repro", "-q", "code"))
    status, out, _ = ended(root, where)
    assert status == 0 and out.split()[3] == "False"


def test_dvc_records_the_same(root: Path, where: str) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "pipeline", "dvc", "repro"], cwd=root, text=True, capture_output=True, check=False,
        env={**pipelet.env(), warm.WHERE: where, "MARK": "mark", turns.OURS: "1"},
    )  # fmt: skip
    assert process.returncode == 0, process.stdout + process.stderr
    assert "True mark" in process.stdout
    found = (root / "dvc.lock").read_bytes()
    pipelet.hooked(root, "")
    good(pipelet.dvc(root, "repro", "-q", "-f"))
    assert (root / "dvc.lock").read_bytes() == found


def test_it_ends_with_the_run_even_while_it_imports(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(pipelet.ROOT / "src"))
    mine = psutil.Process()
    before = set(mine.children())
    with warm.kept(root) as found:
        assert set(mine.children()) - before
    assert not set(mine.children()) - before
    assert not os.path.exists(found[warm.WHERE])


def test_what_is_imported_beforehand_starts_no_thread_and_keeps_the_arithmetic() -> None:
    """A fork has one thread alone; a library built with -ffast-math would take small numbers for zero."""
    script = (
        "import importlib, os; from genfoundry import warm\n"
        "for name in warm.LIBRARIES: importlib.import_module(name)\n"
        "import numpy, torch; print(len(os.listdir('/proc/self/task')), numpy.float32(1e-45) * numpy.float32(1) > 0,"
        " bool(torch.tensor(1e-45) * 1 > 0), torch.cuda.is_initialized())"
    )
    env = {**os.environ, "PYTHONPATH": str(pipelet.ROOT / "src"), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "True", "True", "False"]
