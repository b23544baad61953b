"""The smoke pipeline on a Ray cluster ends with the dvc.lock of this machine's processes, byte for byte."""

from __future__ import annotations

import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import pytest
from site_of import copy_repository, good, pipeline

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed"),
]
COMPUTED = ("judge@", "baseline@", "train@", "evaluate@", "rank", "report")  # what runs anew: the rest reads raw data
STORE = 100 * 2**20  # bytes


def read_lock(root: Path) -> dict[str, str]:
    """The text of dvc.lock a stage; what stands before the stages is a part of its own."""
    blocks = re.split(r"(?m)^(?=  \S)", (root / "dvc.lock").read_text())
    return {block.partition(":\n")[0].strip(): block for block in blocks}


@pytest.fixture
def unmeasured(smoke: Path, tmp_path: Path) -> Path:
    """The smoke repository with its data prepared, and nothing else run: not even in DVC's run cache."""
    root = copy_repository(smoke, tmp_path / "site")
    shutil.rmtree(root / ".dvc/cache/runs", ignore_errors=True)
    kept = {name: block for name, block in read_lock(root).items() if not name.startswith(COMPUTED)}
    (root / "dvc.lock").write_text("".join(kept.values()))
    for out in ("models", "reports/tuning", "reports/scores", "reports/evaluation", "reports/baselines"):
        shutil.rmtree(root / out)
    shutil.rmtree(root / "data/prepared/digits/judge")
    return root


@contextmanager
def cluster(nodes: int) -> Iterator[str]:
    """The address of a Ray cluster of so many nodes, all on this machine, each of one core."""
    from ray.cluster_utils import Cluster

    args = {"num_cpus": 1, "object_store_memory": STORE}
    started = Cluster(initialize_head=True, head_node_args={**args, "include_dashboard": False})
    try:
        for _ in range(nodes - 1):
            started.add_node(**args)
        yield started.address
    finally:
        started.shutdown()


def workers(root: Path) -> Iterator[int]:
    """Ray's processes that run a call for a repository."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if b"ray::execute" in (folder / "cmdline").read_bytes() and (folder / "cwd").resolve() == root.resolve():
                yield int(folder.name)


def cpu_seconds(pid: int) -> float:
    """What a process has computed since it began."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def kill_in_training(root: Path, over: threading.Event, killed: list[int]) -> None:
    """Kill a worker that trains vae-digits: its trials are over, and it has computed for a while since."""
    since: dict[int, float] = {}
    while not over.is_set() and not killed:
        time.sleep(0.01)
        for log in root.glob(".state/train-vae-digits-*/trials.jsonl"):
            for pid in workers(root) if log.read_text().count("\n") == 2 else ():
                with suppress(OSError):
                    since.setdefault(pid, cpu_seconds(pid))
                    if cpu_seconds(pid) > since[pid] + 0.2 and not (log.parent / "seed-0/done").exists():
                        os.kill(pid, signal.SIGKILL)
                        killed.append(pid)
                        return


def test_a_cluster_of_one_node_comes_to_the_same_task(smoke: Path, unmeasured: Path) -> None:
    before, task = read_lock(unmeasured), "sunspots-forecast"
    with cluster(nodes=1) as address:
        good(pipeline("repro", "--engine", "ray", "--task", task, root=unmeasured, RAY_ADDRESS=address))
    after = read_lock(unmeasured)
    assert after.keys() - before.keys() == {"train@linear-sunspots", "evaluate@linear-sunspots", f"baseline@{task}"}
    assert after.items() <= read_lock(smoke).items()


def test_two_nodes_and_a_worker_that_is_killed_end_with_the_same_lock(smoke: Path, unmeasured: Path) -> None:
    killed: list[int] = []
    over = threading.Event()
    killer = threading.Thread(target=kill_in_training, args=(unmeasured, over, killed), daemon=True)
    with cluster(nodes=2) as address:
        killer.start()
        good(pipeline("repro", "--engine", "ray", "--jobs", "1", root=unmeasured, RAY_ADDRESS=address))
    over.set()
    killer.join()
    assert killed
    assert (unmeasured / "dvc.lock").read_bytes() == (smoke / "dvc.lock").read_bytes()
