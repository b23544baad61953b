"""Processors and memory that this process may use: a container has less than its host.

Linux sets both by control groups, of version 2 (cpu.max, memory.max) or 1 (cpu.cfs_quota_us, memory.limit_in_bytes).
Every group above the process's own limits it, too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

ROOT = Path("/")  # another folder in tests
UNLIMITED = 2**60  # bytes; version 1 writes "no limit" as a number about 2**63


def cpus(root: Path | None = None) -> int:
    """Processors that this process may use at once, at least 1: its affinity, and the quota of its control groups."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min([cores, *_quotas(root or ROOT)])))


def memory(root: Path | None = None) -> int:
    """Bytes of memory that this process may use: the machine's, and the limits of its control groups."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *_memory_limits(root or ROOT)])


def _quotas(root: Path) -> Iterator[float]:
    """Processors a group may use, as a fraction: microseconds of work in a period over those of the period."""
    for group in _groups(root, "cpu"):
        with suppress(OSError, ValueError, ZeroDivisionError):
            quota, period = (group / "cpu.max").read_text().split()
            yield int(quota) / int(period)
        with suppress(OSError, ValueError, ZeroDivisionError):
            if (work := int((group / "cpu.cfs_quota_us").read_text())) > 0:
                yield work / int((group / "cpu.cfs_period_us").read_text())


def _memory_limits(root: Path) -> Iterator[int]:
    for group in _groups(root, "memory"):
        for name in ("memory.max", "memory.high", "memory.limit_in_bytes"):
            with suppress(OSError, ValueError):  # no such file, or "max"
                if (limit := int((group / name).read_text())) < UNLIMITED:
                    yield limit


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of the groups that this process is in, for a controller, each followed by those above it."""
    paths = _own_groups(root, controller)
    for version, top, mounted in _mounts(root, controller):
        path = paths.get(version)
        if path is None:
            continue
        # A container without a namespace of its own sees the host's path, but only its own group mounted.
        inside = path.relative_to(top) if path.is_relative_to(top) and ".." not in path.parts else Path()
        folder = mounted / inside
        yield from (folder, *[above for above in folder.parents if above.is_relative_to(mounted)])


def _own_groups(root: Path, controller: str) -> dict[int, Path]:
    """Version -> path of the process's group, as /proc/self/cgroup has it: `0::/a/b`, or `4:cpu,cpuacct:/a/b`."""
    paths: dict[int, Path] = {}
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, _, rest = line.partition(":")
            names, _, path = rest.partition(":")
            if not names:
                paths[2] = Path(path)
            elif controller in names.split(","):
                paths[1] = Path(path)
    return paths


def _mounts(root: Path, controller: str) -> Iterator[tuple[int, Path, Path]]:
    """Version, the group that is mounted, and where; lines of /proc/self/mountinfo."""
    with suppress(OSError):
        for line in (root / "proc/self/mountinfo").read_text().splitlines():
            place, _, kind = line.partition(" - ")
            top, mounted = (_unescape(text) for text in place.split()[3:5])
            name, _, options = kind.split(maxsplit=2)
            where = root / mounted.lstrip("/")
            if name == "cgroup2":
                yield 2, Path(top), where
            elif name == "cgroup" and controller in options.split(","):
                yield 1, Path(top), where


def _unescape(text: str) -> str:
    """The kernel writes a space as \\040."""
    return text.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
