"""`make repro`: how many jobs at once, on what, and which stages DVC does not find unchanged."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from genfoundry import cgroup, experiment, graph
from genfoundry.types import UserError
from pipeline.commands import repro

ROOT = Path(__file__).parent.parent
PARAMS = experiment.settings(ROOT / "params.yaml")


def test_the_number_of_jobs_and_the_targets() -> None:
    assert repro.options(()) == (None, ())
    assert repro.options(("train@x",)) == (None, ("train@x",))
    assert repro.options(("--jobs", "3")) == (3, ())
    assert repro.options(("a", "--jobs", "1", "b")) == (1, ("a", "b"))
    for wrong in (("--jobs",), *(("--jobs", text) for text in ("0", "two", "-1", "1.5", "²", "1001", ""))):
        with pytest.raises(UserError, match="a whole number of jobs is wanted"):
            repro.options(wrong)


def slots(
    monkeypatch: pytest.MonkeyPatch, *, cores: int = 8, gpus: int = 0, wanted: int | None = None, **params: object
):  # type: ignore[no-untyped-def]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)))
    monkeypatch.setattr(repro, "MEMORY", 1)
    monkeypatch.setattr(cgroup, "ROOT", Path("/nowhere"))  # the machine that runs this has limits of its own
    return repro.slots(PARAMS.model_copy(update={"threads": 1, "device": "auto", **params}), wanted)


def test_jobs_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    assert slots(monkeypatch, cores=2) == [{}, {}]
    assert slots(monkeypatch, cores=2, threads=2) == [{}]
    assert slots(monkeypatch, cores=3, threads=4) == [{}]
    assert slots(monkeypatch, cores=64) == [{}] * len(PARAMS.experiments)
    assert slots(monkeypatch, cores=2, wanted=3) == [{}, {}, {}]
    assert slots(monkeypatch, cores=8, wanted=1) == [{}]


def test_memory_bounds_the_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2**20}[name])
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)))
    monkeypatch.setattr(cgroup, "ROOT", Path("/nowhere"))
    params = PARAMS.model_copy(update={"threads": 1, "device": "cpu"})
    assert repro.slots(params, None) == [{}] * 2  # 4 GiB hold two


def test_a_containers_quota_and_limit_bound_the_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processors and 4 GiB of a node that has 64 and 256; more by JOBS is obeyed, and said."""
    pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2**26}
    monkeypatch.setattr(os, "sysconf", lambda name: pages[name])
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)))
    monkeypatch.setattr(cgroup, "ROOT", tmp_path)
    for name, content in {
        "proc/self/cgroup": "0::/\n",
        "proc/self/mountinfo": "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
        "sys/fs/cgroup/cpu.max": "300000 100000\n",
        "sys/fs/cgroup/memory.max": str(4 * 2**30),
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    params = PARAMS.model_copy(update={"threads": 1, "device": "cpu"})
    assert repro.slots(params, None) == [{}] * 2
    assert repro.slots(params, 5) == [{}] * 5
    assert repro.crowded(params, 2) == repro.crowded(params, None) == ""
    line = "--jobs 5: more than the 2 that 3 cores at 1 each and 4.0 GiB of memory hold; slower, or killed for want of"
    assert line in repro.crowded(params, 5)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    assert len(repro.slots(params.model_copy(update={"device": "auto"}), None)) == 2


def test_a_job_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert slots(monkeypatch, gpus=1) == [{"CUDA_VISIBLE_DEVICES": "0"}]
    assert slots(monkeypatch, gpus=2, wanted=3) == [{"CUDA_VISIBLE_DEVICES": number} for number in "010"]
    assert slots(monkeypatch, gpus=2, cores=2, device="cpu") == [{}, {}]
    assert slots(monkeypatch, gpus=2, device="cuda:1") == [{}]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    assert slots(monkeypatch, gpus=2) == [{"CUDA_VISIBLE_DEVICES": "5"}, {"CUDA_VISIBLE_DEVICES": "7"}]


def test_what_dvc_does_not_call_unchanged_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what it could not look at: a dry run stops where a dependency is not there yet."""
    stages = graph.stages(ROOT)
    said = "Stage 'code' didn't change, skipping\n'data/inbox/digits.dvc' didn't change, skipping\n"
    said += "Running stage 'fetch@digits':\n> cmd\nStage 'fetch@sunspots' didn't change, skipping\n"
    monkeypatch.setattr(repro.shell, "ask", lambda *command, **how: said)
    assert repro.due(stages) == stages.keys() - {"code", "fetch@sunspots"}


def test_it_says_where_the_time_went(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two jobs at once for 10 s: 20 s of theirs, of which stages worked 12 and started up for 3."""
    monkeypatch.setattr(repro, "LOG", tmp_path / "times.jsonl")
    row = '{"stage": "train:x", "startup": 1.5, "work": 6.0, "end": 0}\n'
    (tmp_path / "times.jsonl").write_text(2 * row)
    repro.split(1.0, 10.0, 2.0, 2)
    assert capsys.readouterr().out.splitlines()[-1] == (
        "13 s in all, 2 jobs at once, 23 s of theirs: work 12 s; start-up 11 s = 48% "
        "(imports 3, DVC and waiting 5, MLflow 2, check 1)"
    )
    repro.split(1.0, 20.0, 2.0, 1)
    assert "23 s in all: work 12 s; start-up 11 s = 48% (imports 3, DVC 5," in capsys.readouterr().out


def test_what_was_ranked_is_decided_though_a_job_failed() -> None:
    planned = ["evaluate@vae", "register@a", "promote@a", "register@b", "report"]
    assert repro.ranked(planned, {"evaluate@vae", "register@b", "report"}) == ["a"]
