"""How many jobs run at once on a machine, and on which GPU each."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from genfoundry import config
from genfoundry.data import cgroup
from pipeline.orchestration import slots

RUN = config.Run(seed=1, threads=1)


def local(
    monkeypatch: pytest.MonkeyPatch, *, cores: int = 8, gpus: int = 0, wanted: int | None = None, **params: object
):  # type: ignore[no-untyped-def]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)))
    monkeypatch.setattr(slots, "MEMORY", 1)
    monkeypatch.setattr(cgroup, "ROOT", Path("/nowhere"))  # the machine that runs this has limits of its own
    return slots.allocate(RUN.model_copy(update={"threads": 1, "device": "auto", **params}), wanted)


def test_jobs_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    assert local(monkeypatch, cores=2) == [{}, {}]
    assert local(monkeypatch, cores=2, threads=2) == [{}]
    assert local(monkeypatch, cores=3, threads=4) == [{}]
    assert local(monkeypatch, cores=64, threads=4) == [{}] * 16
    assert local(monkeypatch, cores=2, wanted=3) == [{}, {}, {}]
    assert local(monkeypatch, cores=8, wanted=1) == [{}]


def test_memory_bounds_the_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2**20}[name])
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)))
    monkeypatch.setattr(cgroup, "ROOT", Path("/nowhere"))
    params = RUN.model_copy(update={"threads": 1, "device": "cpu"})
    assert slots.allocate(params, None) == [{}] * 2  # 4 GiB hold two


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
    params = RUN.model_copy(update={"threads": 1, "device": "cpu"})
    assert slots.allocate(params, None) == [{}] * 2
    assert slots.allocate(params, 5) == [{}] * 5
    assert slots.warn_if_crowded(params, 2) == slots.warn_if_crowded(params, None) == ""
    line = "--jobs 5: more than the 2 that 3 cores at 1 each and 4.0 GiB of memory hold; slower, or killed for want of"
    assert line in slots.warn_if_crowded(params, 5)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    assert len(slots.allocate(params.model_copy(update={"device": "auto"}), None)) == 2


def test_a_job_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert local(monkeypatch, gpus=1) == [{"CUDA_VISIBLE_DEVICES": "0"}]
    assert local(monkeypatch, gpus=2, wanted=3) == [{"CUDA_VISIBLE_DEVICES": number} for number in "010"]
    assert local(monkeypatch, gpus=2, cores=2, device="cpu") == [{}, {}]
    assert local(monkeypatch, gpus=2, device="cuda:1") == [{}]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    assert local(monkeypatch, gpus=2) == [{"CUDA_VISIBLE_DEVICES": "5"}, {"CUDA_VISIBLE_DEVICES": "7"}]
