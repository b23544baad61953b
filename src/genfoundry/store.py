"""MLflow's store: where it is, how it comes to be, how metrics are written to it.

It is the one that MLFLOW_TRACKING_URI names, by default <root>/mlflow.db with artifacts in <root>/mlartifacts. MLflow
is imported inside functions: it takes seconds.
"""

from __future__ import annotations

import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

CHUNK = 1000  # metrics in a request, MLflow's limit
Metrics = list[tuple[str, float, int, int]]  # name, value, milliseconds, step


def home(root: Path) -> Path:
    """The user's repository: `dvc exp run --queue` and `--temp` work in a copy below its .dvc/tmp/exps."""
    root = root.resolve()
    above, copied, _ = str(root).partition(os.path.join(os.sep, ".dvc", "tmp", "exps"))
    return Path(above) if copied else root


def uri(root: Path) -> str:
    """MLFLOW_TRACKING_URI, else the SQLite database in the repository."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home(root) / 'mlflow.db'}"


@contextmanager
def locked(root: Path, name: str) -> Iterator[None]:
    """One process at a time on this machine."""
    folder = home(root) / ".state"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def connect(root: Path) -> MlflowClient:
    """A client of the store; its tables are made under a lock, so that parallel stages do not race.

    Raises:
        OSError: the server does not answer (asked directly, since MLflow itself would try for minutes).
    """
    _answering(uri(root))
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ.pop("MLFLOW_RUN_ID", None)  # `mlflow run` sets it, and every stage would join that one run
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    from mlflow.tracking import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # its import sets it to INFO
    with locked(root, "mlflow"):
        client = MlflowClient(tracking_uri=uri(root), registry_uri=os.environ.get("MLFLOW_REGISTRY_URI") or uri(root))
        client.search_experiments(max_results=1)
    return client


def _answering(address: str) -> None:
    parts = urlsplit(address)
    proxied = parts.scheme in getproxies() and not proxy_bypass(parts.hostname or "")
    if parts.scheme in ("http", "https") and parts.hostname and not proxied:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname, port), timeout=2).close()


def experiment_id(client: MlflowClient, root: Path, task: str) -> str:
    """MLflow's experiment of a task; made where there is none. Artifacts of a database are kept beside it."""
    with locked(root, "mlflow"):
        found = client.get_experiment_by_name(task)
        if found is not None:
            if found.lifecycle_stage == "deleted":
                client.restore_experiment(found.experiment_id)
            return str(found.experiment_id)
        served = urlsplit(uri(root)).scheme in ("http", "https", "databricks")
        place = None if served else (home(root) / "mlartifacts" / task).as_uri()
        return str(client.create_experiment(task, artifact_location=place))


def log_metrics(client: MlflowClient, run: str, metrics: Metrics) -> None:
    """Write metrics in as few requests as MLflow allows."""
    from mlflow.entities import Metric

    for start in range(0, len(metrics), CHUNK):
        client.log_batch(run, metrics=[Metric(*one) for one in metrics[start : start + CHUNK]])
