"""MLflow's store: where it is, how it comes to be, how metrics are written to it.

It is the one that MLFLOW_TRACKING_URI names, by default <root>/mlflow.db with artifacts in <root>/mlartifacts. MLflow
is imported inside functions: it takes seconds.
"""

from __future__ import annotations

import logging
import os
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from genfoundry import paths
from genfoundry.files import file_lock
from genfoundry.tracking import store_check
from genfoundry.tracking.store_errors import StoreError, explain_failure

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

REGISTRY = "MLFLOW_REGISTRY_URI"
CHUNK = 1000  # metrics in a request, MLflow's limit
Metrics = list[tuple[str, float, int, int]]  # name, value, milliseconds, step


def find_repository(root: Path) -> Path:
    """The user's repository: `dvc exp run --queue` and `--temp` work in a copy below its .dvc/tmp/exps."""
    root = root.resolve()
    above, copied, _ = str(root).partition(os.path.join(os.sep, ".dvc", "tmp", "exps"))
    return Path(above) if copied else root


def get_tracking_uri(root: Path) -> str:
    """MLFLOW_TRACKING_URI, else the SQLite database in the repository."""
    return os.environ.get("MLFLOW_TRACKING_URI", "").strip() or f"sqlite:///{find_repository(root) / 'mlflow.db'}"


def is_server(address: str) -> bool:
    """Whether a store is a server with pages of its own; a database's are shown by `mlflow ui`."""
    return (urlsplit(address).scheme or address) in ("http", "https", "databricks", "databricks-uc", "uc")


def get_state_folder(root: Path) -> Path:
    """The folder of what is kept between processes, the store's faults among it."""
    return find_repository(root) / paths.STATE


def connect(root: Path) -> MlflowClient:
    """A client of the store; its tables are made under a lock, so that parallel stages do not race.

    Raises:
        StoreError: the store cannot be used, said within some ten seconds, or at once if that was found lately.
    """
    address = get_tracking_uri(root)
    store_check.raise_remembered(get_state_folder(root), address)
    try:
        return _connect(root, address)
    except StoreError as error:
        store_check.remember_failure(get_state_folder(root), address, error)
        raise


def _connect(root: Path, address: str) -> MlflowClient:
    configure_client()
    try:
        with file_lock(get_state_folder(root) / "mlflow") if address.startswith("sqlite") else nullcontext():
            store_check.check_store(address)
            client = _client(address, address)
            client.search_experiments(max_results=1)
    except Exception as error:  # whatever a store, its driver or a plugin raises
        raise explain_failure(error, address) from error
    return client


def _client(tracking: str, registry: str) -> MlflowClient:
    from mlflow.tracking import MlflowClient

    silence_loggers()  # its import sets the level to INFO
    return MlflowClient(tracking_uri=tracking, registry_uri=registry)


def connect_registry(root: Path) -> MlflowClient:
    """A client of the store and of the one for registered models, which `connect`'s does not know.

    Raises:
        StoreError: registered models have a store of their own, and it cannot be used.
    """
    tracking, address = get_tracking_uri(root), get_registry_uri(root)
    try:
        if tracking != address:
            store_check.check_store(address, REGISTRY)
        client = _client(tracking, address)
        if tracking != address:
            client.search_registered_models(max_results=1)
        return client
    except Exception as error:
        raise explain_failure(error, address, REGISTRY) from error


def forget_failure(root: Path) -> None:
    """Have the next `connect` ask a store that failed lately: a new run does."""
    store_check.forget_failure(get_state_folder(root))


def configure_client() -> None:
    """The settings of MLflow's client: no telemetry, few retries, no run that is not ours."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", f"{store_check.ANSWER:.0f}")
    os.environ.pop("MLFLOW_RUN_ID", None)  # `mlflow run` sets it, and every stage would join that one run
    silence_loggers()


def silence_loggers() -> None:
    """MLflow logs every failure with its traceback; it is raised as well, and said in one line."""
    for name in ("mlflow", "alembic", "urllib3", "sqlalchemy"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def get_registry_uri(root: Path) -> str:
    """MLFLOW_REGISTRY_URI, else the tracking store."""
    return os.environ.get(REGISTRY, "").strip() or get_tracking_uri(root)


def ensure_experiment(client: MlflowClient, root: Path, task: str) -> str:
    """MLflow's experiment of a task; made where there is none. Artifacts of a database are kept beside it."""
    with file_lock(get_state_folder(root) / "mlflow"):
        found = client.get_experiment_by_name(task)
        if found is not None:
            if found.lifecycle_stage == "deleted":
                client.restore_experiment(found.experiment_id)
            return str(found.experiment_id)
        place = None if is_server(get_tracking_uri(root)) else (find_repository(root) / "mlartifacts" / task).as_uri()
        return str(client.create_experiment(task, artifact_location=place))


def log_metrics(client: MlflowClient, run: str, metrics: Metrics) -> None:
    """Write metrics in as few requests as MLflow allows."""
    from mlflow.entities import Metric

    for start in range(0, len(metrics), CHUNK):
        client.log_batch(run, metrics=[Metric(*one) for one in metrics[start : start + CHUNK]])
