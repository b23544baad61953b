"""Slots of this machine: how many jobs run at once, and on which of its GPUs each."""

from __future__ import annotations

import os

from genfoundry import config
from genfoundry.data import cgroup

MEMORY = 2 * 2**30  # bytes that a job may need


def allocate(run: config.Run, wanted: int | None) -> list[dict[str, str]]:
    """Return a slot for each job at once, as an environment: its GPU, or nothing where jobs share the cores.

    As many as GPUs, else as cores over threads; never more than memory holds, unless so many are `wanted`. Cores and
    memory are those that this process may use: a container's quota and limit, not what its host has.
    """
    import torch

    gpus = torch.cuda.device_count() if run.device in ("auto", "cuda") else 0
    if gpus:
        # A cluster's scheduler may have given us some of the GPUs only: a job gets one of these, by its name here.
        names = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(gpus)))).split(",")[:gpus]
        number = wanted or max(1, min(gpus, cgroup.memory() // MEMORY))
        return [{"CUDA_VISIBLE_DEVICES": names[job % gpus]} for job in range(number)]
    if wanted is None and run.device in ("auto", "cpu"):
        wanted = count_room(run)
    return [{} for _ in range(wanted or 1)]


def count_room(run: config.Run) -> int:
    """Count the jobs that cores and memory hold."""
    return max(1, min(cgroup.cpus() // run.threads, cgroup.memory() // MEMORY))


def warn_if_crowded(run: config.Run, wanted: int | None) -> str:
    """Return a warning of more jobs than there is room for, which run all the same; "" where they fit."""
    if wanted is None or wanted <= (fit := count_room(run)):
        return ""
    here = f"{cgroup.cpus()} cores at {run.threads} each and {cgroup.memory() / 2**30:.1f} GiB of memory"
    return f"--jobs {wanted}: more than the {fit} that {here} hold; slower, or killed for want of memory"
