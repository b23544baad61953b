"""Work in other processes: results in order, output and mistakes as if it were here, and one more try after a death."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import plans
import pytest
import toy
import work

from genfoundry import config
from genfoundry.data import cgroup
from genfoundry.errors import UserError
from pipeline.orchestration import engine, ray_engine, slurm_engine

ROOT = Path(__file__).parent.parent.parent
RUN = {"seed": 1, "threads": 1, "device": "cpu", "precision": "float32", "arithmetic": "portable"}
ENGINES = [
    pytest.param(name, marks=pytest.mark.skipif(find_spec(package) is None, reason=f"{package} is not installed"))
    for name, package in (("ray", "ray"), ("slurm", "submitit"))
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """A Ray cluster of this machine."""
    pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(ray_engine.ADDRESS, raising=False)
        patch.setattr(cgroup, "cpus", lambda: 2)
        ray = ray_engine.connect()
        yield ray.get_runtime_context().gcs_address
        ray.shutdown()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository's folder with the project's code, the module `work` and the plan of one unit."""
    for name in ("src", "pipeline"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "work.py").symlink_to(work.__file__)
    unit = plans.unit("train", "x", run=RUN)
    (tmp_path / unit.path).parent.mkdir(parents=True)
    (tmp_path / unit.path).write_bytes(unit.dump())
    monkeypatch.chdir(tmp_path)
    return tmp_path


PATH = "build/plan/train/x.json"


@pytest.fixture(params=ENGINES)
def chosen(request: pytest.FixtureRequest, root: Path, monkeypatch: pytest.MonkeyPatch) -> engine.Engine:
    monkeypatch.setenv(engine.ENGINE, request.param)
    monkeypatch.setenv(slurm_engine.CLUSTER, "local")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///x.db")
    if request.param == "ray":
        monkeypatch.setenv(ray_engine.ADDRESS, request.getfixturevalue("cluster"))
    return engine.choose()


def test_calls_run_elsewhere_as_if_here(chosen: Any, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = dict(os.environ)
    results = chosen.map(work.describe, [(PATH, number) for number in range(3)])
    assert [number for number, *_ in results] == [0, 1, 2]
    for number, pid, folder, env in results:
        assert (pid == os.getpid(), folder) == (False, str(root)), number
        assert (env["OMP_NUM_THREADS"], env["NPY_DISABLE_CPU_FEATURES"][:6]) == ("1", "X86_V4")
        assert env["MLFLOW_TRACKING_URI"] == "sqlite:///x.db"
        assert env[engine.ENGINE] == "local", "a call starts no calls"
    lines = capsys.readouterr().err.splitlines()
    said = sorted(line for line in lines if line.startswith(("out", "err", "shell")))
    assert said == sorted(f"{word} {number}" for word in ("out", "err", "shell") for number in range(3))
    assert dict(os.environ) == before
    assert list((root / ".state/engine").iterdir()) == []


def test_calls_run_at_the_same_time(chosen: Any) -> None:
    assert chosen.map(work.meet, [(PATH, "a", "b"), (PATH, "b", "a")]) == ["a", "b"]


def test_a_users_mistake_comes_back_as_one(chosen: Any) -> None:
    with pytest.raises(UserError, match=r"^max_minutes.vae: 3 reached$"):
        chosen.map(work.fail, [(PATH, number) for number in range(3)])


def test_an_exception_is_not_tried_again_and_keeps_its_reason(chosen: Any) -> None:
    with pytest.raises(Exception, match="a mistake of ours") as info:
        chosen.map(work.crash, [(PATH,)])
    assert not isinstance(info.value, UserError)


def test_a_worker_that_dies_is_replaced(chosen: Any, root: Path) -> None:
    assert chosen.map(work.die, [(PATH, 1)]) == [2]


def test_a_worker_that_dies_twice_is_given_up(cluster: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ray_engine.ADDRESS, cluster)
    with pytest.raises(UserError, match="a Ray task died twice"):
        ray_engine.Ray().map(work.die, [(PATH, 5)])
    assert (root / "called").read_text() == "xx"


def test_a_slurm_job_that_dies_twice_is_given_up() -> None:
    """Without the quarter of a minute that submitit waits for each one's results."""
    errors = pytest.importorskip("submitit").core.utils
    submitted: list[Any] = []

    class Job:
        paths = SimpleNamespace(stderr="x.err")

        def result(self) -> Any:
            raise errors.UncompletedJobError

    class Executor:
        batch = nullcontext

        def submit(self, function: Any, call: Any) -> Job:
            submitted.append(call)
            return Job()

    jobs: list[Any] = [Job()]
    call: Any = "the call"
    with pytest.raises(UserError, match=r"a Slurm job died twice: see x.err"):
        slurm_engine.wait(Executor(), jobs, 0, call, run_of())
    assert submitted == ["the call"]


LINGER = """
import work
from pipeline.orchestration import engine
engine.choose().map(work.linger, [("build/plan/train/x.json",)])
"""


def within(seconds: float, holds: Callable[[], bool]) -> bool:
    """Whether something comes to hold in so many seconds."""
    until = time.monotonic() + seconds
    while not holds() and time.monotonic() < until:
        time.sleep(0.05)
    return holds()


def test_an_interruption_ends_what_runs_elsewhere(chosen: Any, root: Path) -> None:
    env = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root / 'src'}"}
    process = subprocess.Popen([sys.executable, "-c", LINGER], env=env, stderr=subprocess.DEVNULL)
    assert within(60, (root / "pid").exists)
    worker = Path("/proc", (root / "pid").read_text())
    assert worker.exists()
    process.send_signal(signal.SIGINT)
    assert process.wait(60) != 0
    assert within(30, lambda: not worker.exists())


def test_local_calls_run_here() -> None:
    assert engine.Local().map(work.fail, [("", 0), ("", 2)]) == [0, 2]
    with pytest.raises(UserError):
        engine.Local().map(work.fail, [("", 0), ("", 1)])


def run_of(**more: object) -> config.Run:
    return config.Run(**{**RUN, **more})


@pytest.mark.parametrize("name", ["ray", "slurm"])
def test_what_is_not_installed_is_said_in_a_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, {"ray": "ray", "slurm": "submitit"}[name], None)
    line = rf"^ENGINE={name} needs \w+: pip install -r requirements-engines.lock$"
    with pytest.raises(UserError, match=line), engine.start(name, run_of(), Path()):
        pass


def test_an_engine_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(engine.ENGINE, "dask")
    with pytest.raises(UserError, match="ENGINE: expected local, ray or slurm, got 'dask'"):
        engine.choose()
    with pytest.raises(UserError, match="got 'slrm'"), engine.start("slrm", run_of(), Path()):
        pass
    with engine.start("local", run_of(), Path()) as started:
        assert started == engine.Started({}, None)


def test_a_machine_without_slurm_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit")
    monkeypatch.delenv(slurm_engine.CLUSTER, raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="expected a machine with sbatch"), engine.start("slurm", run_of(), Path()):
        pass


@pytest.mark.parametrize(
    ("device", "gpus", "wanted"), [("auto", 0, 0), ("auto", 4, 1), ("cuda", 0, 1), ("cuda:1", 2, 1), ("cpu", 4, 0)]
)
def test_a_task_has_a_gpu_where_the_device_is_one(device: str, gpus: int, wanted: int) -> None:
    assert ray_engine.count_gpus(run_of(device=device), {"CPU": 8.0, "GPU": float(gpus)}) == wanted


def test_a_cluster_that_does_not_answer_is_refused() -> None:
    line = "^RAY_ADDRESS=127.0.0.1:1: expected a Ray cluster that answers, got: .*refused"
    with pytest.raises(UserError, match=line):
        ray_engine.check_address("127.0.0.1:1")


def test_an_address_of_another_form_is_rays_own_business() -> None:
    for address in ("", "auto", "local"):
        ray_engine.check_address(address)


START = """
from pathlib import Path
from genfoundry import config
from pipeline.orchestration import engine, ray_engine
with engine.start("ray", config.Run(seed=1, threads=1, device="cpu"), Path()) as started:
    print(started.env["GENFOUNDRY_ENGINE"], started.room, started.env["RAY_ADDRESS"])
    ray_engine.check_address(started.env["RAY_ADDRESS"])
"""


def test_a_cluster_of_this_machine_ends_with_the_run(root: Path) -> None:
    pytest.importorskip("ray")
    env = {key: value for key, value in toy.ENV.items() if key != ray_engine.ADDRESS}
    env["PYTHONPATH"] = f"{root}{os.pathsep}{root / 'src'}"
    done = subprocess.run([sys.executable, "-c", START], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    name, room, address = done.stdout.split()
    assert (name, int(room)) == ("ray", cgroup.cpus())
    with pytest.raises(UserError, match="RAY_ADDRESS"):
        ray_engine.check_address(address)


@pytest.fixture
def connected(cluster: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module `ray`, connected as a process of its own would be."""
    import ray

    return ray


def test_a_cluster_is_looked_at_before_anything_runs(
    connected: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray_engine.check_nodes(connected, tmp_path, run_of())
    assert list((tmp_path / ".state").iterdir()) == []
    node = connected.nodes()[0]["NodeID"]
    (tmp_path / "there").touch()
    assert ray_engine.sees(connected, node, tmp_path / "there")
    assert not ray_engine.sees(connected, node, tmp_path / "not-there")
    with pytest.raises(UserError, match=r"^the Ray cluster has no machine with 99 CPUs$"):
        ray_engine.check_nodes(connected, tmp_path, run_of(threads=99))
    with pytest.raises(UserError, match="no machine with 1 CPUs and a GPU"):
        ray_engine.check_nodes(connected, tmp_path, run_of(device="cuda"))
    monkeypatch.setattr(ray_engine, "sees", lambda *_: False)
    host = connected.nodes()[0]["NodeManagerHostname"]
    with pytest.raises(UserError, match=f"expected a folder that every machine .* sees, got none on {host}"):
        ray_engine.check_nodes(connected, tmp_path, run_of())
