"""The Ray engine: work as tasks of a cluster whose machines all see the repository's folder; DVC stays on this one."""

from __future__ import annotations

import logging
import os
import socket
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from genfoundry import config, paths
from genfoundry.data import cgroup
from genfoundry.errors import UserError
from pipeline.orchestration import remote

R = TypeVar("R")
ADDRESS = "RAY_ADDRESS"
ANSWER = 10.0  # seconds that a cluster has to answer
STORE = 100 * 2**20  # bytes of a local cluster's object store: arguments and results are small


class Ray:
    """Each call a Ray task: of as many cores as threads, and a GPU where there are any."""

    def map(self, function: Callable[..., R], calls: Sequence[tuple[Any, ...]]) -> list[R]:
        """Return the results, in the order of the calls; a call whose worker dies is run once more, and resumes.

        What an interruption or an error leaves running ends with this process.

        Raises:
            UserError: of a call, or its worker died again.
        """
        run = remote.read_run(calls)
        ray = connect()  # for as long as this process lives: its calls share workers
        with remote.prepare(function, calls) as prepared:
            task = ray.remote(remote.execute).options(
                num_cpus=run.threads,
                num_gpus=count_gpus(run, ray.cluster_resources()),
                max_retries=1,  # of a worker that died; an exception is the call's own
                runtime_env={"env_vars": remote.environment(run)},
            )
            tasks = [task.remote(call) for call in prepared]
            try:
                return remote.unpack(ray.get(tasks))
            except ray.exceptions.RayTaskError:  # an exception of the call, with its traceback
                raise
            except ray.exceptions.RayError as error:
                reason = str(error).strip().splitlines()[0]
                raise UserError(f"a Ray task died twice: {type(error).__name__}: {reason}") from None


def count_gpus(run: config.Run, resources: dict[str, float]) -> int:
    """Count the GPUs of a task: one if the device is a GPU, or may be and the cluster has any."""
    return int(run.device.startswith("cuda") or (run.device == "auto" and resources.get("GPU", 0) > 0))


def connect() -> Any:
    """Return the module `ray`, connected to the cluster that RAY_ADDRESS names, or to one that this process starts.

    Raises:
        UserError: Ray is not installed, or there is no such cluster.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # before it is imported
    try:
        import ray
    except ModuleNotFoundError:
        raise UserError("ENGINE=ray needs Ray: pip install -r requirements-engines.lock") from None
    if ray.is_initialized():
        return ray
    address = os.environ.get(ADDRESS)
    check_address(address or "")
    local: dict[str, Any] = {"num_cpus": cgroup.cpus(), "include_dashboard": False, "object_store_memory": STORE}
    try:
        ray.init(address or "local", log_to_driver=False, logging_level=logging.ERROR, **({} if address else local))
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{ADDRESS}={address}: expected a Ray cluster that answers, got: {reason}") from None
    return ray


def check_address(address: str) -> None:
    """Refuse an address of the form host:port where nothing answers: Ray itself would ask again for minutes.

    Raises:
        UserError: says why.
    """
    host, _, port = address.rpartition(":")
    if not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER).close()
    except (OSError, OverflowError) as error:
        raise UserError(f"{ADDRESS}={address}: expected a Ray cluster that answers, got: {error}") from None


@contextmanager
def start(run: config.Run, root: Path) -> Iterator[tuple[dict[str, str], int]]:
    """Yield what stages find in their environment, and how many jobs the cluster has room for.

    Raises:
        UserError: a machine of the cluster does not see the repository's folder, or none is large enough for a task.
    """
    ray = connect()
    try:
        check_nodes(ray, root, run)
        resources = ray.cluster_resources()
        room = resources["GPU"] if count_gpus(run, resources) else resources["CPU"] // run.threads
        yield {ADDRESS: ray.get_runtime_context().gcs_address}, max(1, int(room))
    finally:
        ray.shutdown()  # a cluster that this process started ends with it


def check_nodes(ray: Any, root: Path, run: config.Run) -> None:
    """Refuse a cluster that cannot do the work.

    Raises:
        UserError: says on which machine what is missing.
    """
    nodes = [node for node in ray.nodes() if node["Alive"]]
    wanted = {"CPU": run.threads, "GPU": count_gpus(run, ray.cluster_resources())}
    if not any(all(node["Resources"].get(key, 0) >= number for key, number in wanted.items()) for node in nodes):
        raise UserError(
            f"the Ray cluster has no machine with {run.threads} CPUs" + (" and a GPU" if wanted["GPU"] else "")
        )
    token = root.resolve() / paths.STATE / f"ray-{uuid.uuid4().hex}"
    token.parent.mkdir(exist_ok=True)
    token.touch()
    try:
        blind = [node["NodeManagerHostname"] for node in nodes if not sees(ray, node["NodeID"], token)]
    finally:
        token.unlink()
    if blind:
        raise UserError(
            f"{root.resolve()}: expected a folder that every machine of the Ray cluster sees, "
            f"got none on {', '.join(blind)}"
        )


def sees(ray: Any, node: str, token: Path) -> bool:
    """Return whether a machine of the cluster sees a file that was written here."""
    path = str(token)

    def probe() -> bool:  # within a function: it goes there by value, since the module may not be there
        import os

        return os.path.exists(path)

    where = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node, soft=False)
    return bool(ray.get(ray.remote(probe).options(num_cpus=0, scheduling_strategy=where, max_retries=0).remote()))
