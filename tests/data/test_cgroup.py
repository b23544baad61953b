"""Processors and memory are those that the control groups allow, as files of /proc and /sys that are made up."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from genfoundry.data import cgroup

GIB = 2**30
V2 = "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = (
    "30 23 0:27 {top} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "31 23 0:28 {top} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
)
HUGE = str(2**63 - 4096)  # how version 1 writes that there is no limit


@pytest.fixture(autouse=True)
def large_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """64 cores and 256 GiB."""
    pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 256 * GIB // 4096}
    monkeypatch.setattr(os, "sysconf", lambda name: pages[name])
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)))


def machine(root: Path, own: str, mounts: str, files: dict[str, str]) -> tuple[int, int]:
    """What is found where /proc and /sys/fs/cgroup hold this: processors, GiB."""
    written = {"proc/self/cgroup": own, "proc/self/mountinfo": "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n" + mounts}
    for name, content in {**written, **{f"sys/fs/cgroup/{k}": v + "\n" for k, v in files.items()}}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return cgroup.cpus(root), cgroup.memory(root) // GIB


@pytest.mark.parametrize(
    ("own", "files", "wanted"),
    [
        ("0::/\n", {"cpu.max": "200000 100000", "memory.max": str(4 * GIB)}, (2, 4)),  # a container's own namespace
        ("0::/\n", {"cpu.max": "max 100000", "memory.max": "max", "memory.high": "max"}, (64, 256)),
        ("0::/\n", {"cpu.max": "150000 100000"}, (1, 256)),  # one and a half: a second job would halve the first
        ("0::/\n", {"cpu.max": "50000 100000"}, (1, 256)),
        ("0::/\n", {"cpu.max": "9900000 100000", "memory.max": str(999 * GIB)}, (64, 256)),
        ("0::/\n", {"memory.max": str(8 * GIB), "memory.high": str(6 * GIB)}, (64, 6)),
        ("0::/\n", {"cpu.max": "broken", "memory.max": ""}, (64, 256)),
        ("0::/a.slice/b/c\n", {"a.slice/b/c/cpu.max": "800000 100000", "a.slice/cpu.max": "300000 100000"}, (3, 256)),
        ("0::/a/b\n", {"a/memory.max": str(4 * GIB), "a/b/memory.max": "max", "other/memory.max": "1"}, (64, 4)),
        (
            "0::/a/b\n",
            {"a/b/memory.max": str(3 * GIB), "a/memory.max": str(5 * GIB), "cpu.max": "100000 50000"},
            (2, 3),
        ),
        ("0::/../../a\n", {"cpu.max": "200000 100000"}, (2, 256)),  # seen from a namespace below its own
    ],
)
def test_version_2(tmp_path: Path, own: str, files: dict[str, str], wanted: tuple[int, int]) -> None:
    assert machine(tmp_path, own, V2, files) == wanted


OWN_V1 = "5:memory:/docker/c1\n4:cpu,cpuacct:/docker/c1\n3:cpuset:/\n"


def limits(folder: str, quota: str, memory: str) -> dict[str, str]:
    cpu = {f"cpu,cpuacct/{folder}cpu.cfs_quota_us": quota, f"cpu,cpuacct/{folder}cpu.cfs_period_us": "100000"}
    return {**cpu, f"memory/{folder}memory.limit_in_bytes": memory}


@pytest.mark.parametrize(
    ("top", "files", "wanted"),
    [
        ("/", limits("docker/c1/", "200000", str(4 * GIB)), (2, 4)),  # seen from the host
        ("/", limits("docker/c1/", "-1", HUGE) | limits("docker/", "300000", str(7 * GIB)), (3, 7)),
        ("/", limits("docker/c1/", "-1", HUGE), (64, 256)),
        ("/docker/c1", limits("", "200000", str(4 * GIB)), (2, 4)),  # in the container: its own group alone is mounted
        ("/elsewhere", limits("", "200000", str(4 * GIB)), (2, 4)),
    ],
)
def test_version_1(tmp_path: Path, top: str, files: dict[str, str], wanted: tuple[int, int]) -> None:
    assert machine(tmp_path, OWN_V1, V1.format(top=top), files) == wanted


def test_both_versions_at_once(tmp_path: Path) -> None:
    unified = "32 23 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
    files = limits("docker/c1/", "400000", HUGE) | {"unified/x/memory.max": str(5 * GIB)}
    assert machine(tmp_path, OWN_V1 + "0::/x\n", V1.format(top="/") + unified, files) == (4, 5)


def test_a_mount_with_a_space_in_its_name(tmp_path: Path) -> None:
    mounted = V2.replace("/sys/fs/cgroup", "/sys/fs/cgroup/of\\040mine")
    assert machine(tmp_path, "0::/\n", mounted, {"of mine/cpu.max": "200000 100000"}) == (2, 256)


def test_without_control_groups_it_is_the_machine(tmp_path: Path) -> None:
    assert (cgroup.cpus(tmp_path), cgroup.memory(tmp_path) // GIB) == (64, 256)


def test_affinity_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3})
    assert machine(tmp_path, "0::/\n", V2, {"cpu.max": "200000 100000"})[0] == 1
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert cgroup.cpus(tmp_path / "nothing") == 8
