"""The Slurm engine: work as jobs of a cluster, by submitit; its machines see the folder, as Slurm's mostly do.

Slurm's own variables say where jobs go: SBATCH_PARTITION, SBATCH_ACCOUNT, SBATCH_TIMELIMIT and the like.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from genfoundry import config, paths
from genfoundry.errors import UserError
from pipeline.orchestration import remote

R = TypeVar("R")
CLUSTER = "GENFOUNDRY_SLURM_CLUSTER"  # submitit's name of a cluster: slurm, or local (processes of this machine)
MINUTES = 24 * 60  # of a job, unless SBATCH_TIMELIMIT says otherwise
ROOM = 16  # jobs at once, whose stages wait here: what the queue holds, nobody can tell


class Slurm:
    """Each call a Slurm job: of as many cores as threads, and a GPU where the device is one."""

    def map(self, function: Callable[..., R], calls: Sequence[tuple[Any, ...]]) -> list[R]:
        """Return the results, in the order of the calls; a call whose job dies is run once more, and resumes.

        Raises:
            UserError: of a call, or its job died again.
        """
        run = remote.read_run(calls)
        executor = find_submitit().AutoExecutor(folder=paths.SLURM, cluster=cluster())
        executor.update_parameters(
            name="genfoundry",
            cpus_per_task=run.threads,
            gpus_per_node=int(run.device.startswith("cuda")),
            timeout_min=MINUTES,
        )
        with remote.prepare(function, calls) as prepared:
            jobs = submit(executor, prepared, run)
            try:
                return remote.unpack([wait(executor, jobs, number, call, run) for number, call in enumerate(prepared)])
            except BaseException:
                for job in jobs:
                    if not job.done():
                        job.cancel(check=False)
                raise


def cluster() -> str:
    """Return submitit's name of the cluster."""
    return os.environ.get(CLUSTER, "slurm")


def submit(executor: Any, calls: Sequence[remote.Call], run: config.Run) -> list[Any]:
    """Submit one job a call, in an environment that workers can import torch in."""
    before = dict(os.environ)
    os.environ.update(remote.environment(run))  # sbatch hands its own environment on
    try:
        with executor.batch():
            return [executor.submit(remote.execute, call) for call in calls]
    finally:
        # This process goes on, and must not have the environment of a worker.
        os.environ.clear()
        os.environ.update(before)


def wait(executor: Any, jobs: list[Any], number: int, call: remote.Call, run: config.Run) -> remote.Answer:
    """Wait for a call's answer; if its job dies, for that of another, which takes its place in `jobs`.

    Raises:
        UserError: that job died, too.
    """
    errors = find_submitit().core.utils
    first = jobs[number]
    while True:
        try:
            result, mistake = jobs[number].result()
            return result, mistake
        except errors.FailedJobError:  # an exception of the call, with its traceback
            raise
        except errors.UncompletedJobError:
            if jobs[number] is not first:
                raise UserError(f"a Slurm job died twice: see {jobs[number].paths.stderr}") from None
            (jobs[number],) = submit(executor, [call], run)


def check() -> None:
    """Refuse a machine that cannot submit jobs.

    Raises:
        UserError: submitit is not installed, or there is no Slurm.
    """
    find_submitit()
    if cluster() == "slurm" and shutil.which("sbatch") is None:
        raise UserError("ENGINE=slurm: expected a machine with sbatch, got one without")


def find_submitit() -> Any:
    """Return the module `submitit`.

    Raises:
        UserError: it is not installed.
    """
    try:
        import submitit
    except ModuleNotFoundError:
        raise UserError("ENGINE=slurm needs submitit: pip install -r requirements-engines.lock") from None
    return submitit
