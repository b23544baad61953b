"""MLflow's client: address, creation and settings of the tracking store, and batched metrics.

The store is the one that MLFLOW_TRACKING_URI names, by default <root>/mlflow.db with artifacts in <root>/mlartifacts.
MLflow is imported inside functions, since that takes seconds.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from genfoundry import files, paths
from genfoundry.tracking import store_check
from genfoundry.tracking.store_errors import explain_failure

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

TRACKING, REGISTRY = "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"
CHUNK = 1000  # metrics in a request, MLflow's limit
SETTINGS = {  # of MLflow's client: no telemetry, few retries
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": f"{store_check.ANSWER:.0f}",
}
Metrics = list[tuple[str, float, int, int]]  # name, value, milliseconds, step


def find_repository(root: Path) -> Path:
    """The user's repository: `dvc exp run --queue` and `--temp` work in a copy below its .dvc/tmp/exps."""
    root = root.resolve()
    above, copied, _ = str(root).partition(os.path.join(os.sep, ".dvc", "tmp", "exps"))
    return Path(above) if copied else root


def get_state_folder(root: Path) -> Path:
    """The folder for files that processes share, such as locks and the store's last failure."""
    return find_repository(root) / paths.STATE


def get_tracking_uri(root: Path) -> str:
    """MLFLOW_TRACKING_URI, else the SQLite database in the repository."""
    # A variable that is set to nothing counts as not set: CI passes a secret that is not defined as an empty string.
    return os.environ.get(TRACKING, "").strip() or f"sqlite:///{find_repository(root) / 'mlflow.db'}"


def get_registry_uri(root: Path) -> str:
    """MLFLOW_REGISTRY_URI, else the tracking store."""
    return os.environ.get(REGISTRY, "").strip() or get_tracking_uri(root)


def is_server(address: str) -> bool:
    """Whether a store is a tracking server, with a web UI; for a database, `mlflow ui` has to be started."""
    return (urlsplit(address).scheme or address) in ("http", "https", "databricks", "databricks-uc", "uc")


def lock_store(root: Path, name: str = "mlflow") -> AbstractContextManager[None]:
    """A lock that one process of this machine holds at a time."""
    return files.file_lock(get_state_folder(root) / name)


def connect(root: Path) -> MlflowClient:
    """A client of the store; its tables are made under a lock, so that parallel stages do not race.

    Raises:
        StoreError: the store cannot be used: within some ten seconds, or at once if that was remembered.
    """
    address = get_tracking_uri(root)
    store_check.raise_remembered(get_state_folder(root), address)
    configure_client()
    try:
        with lock_store(root) if address.startswith("sqlite") else nullcontext():
            store_check.check_store(address)
            client = _make_client(address, address)
            client.search_experiments(max_results=1)
    except Exception as error:  # whatever a store, its driver or a plugin raises
        failure = explain_failure(error, address)
        store_check.remember_failure(get_state_folder(root), address, failure)
        raise failure from error
    return client


def connect_registry(root: Path) -> MlflowClient:
    """A client of the store and of the one for registered models, which `connect`'s does not know.

    Raises:
        StoreError: registered models have a store of their own, and it cannot be used.
    """
    tracking, address = get_tracking_uri(root), get_registry_uri(root)
    try:
        if tracking == address:
            return _make_client(tracking, address)
        store_check.check_store(address, REGISTRY)
        client = _make_client(tracking, address)
        client.search_registered_models(max_results=1)
        return client
    except Exception as error:
        raise explain_failure(error, address, REGISTRY) from error


def _make_client(tracking: str, registry: str) -> MlflowClient:
    from mlflow.tracking import MlflowClient

    silence_loggers()  # its import sets the level to INFO
    return MlflowClient(tracking_uri=tracking, registry_uri=registry)


def forget_failure(root: Path) -> None:
    """Have the next `connect` ask a store that failed lately: a new run does."""
    store_check.forget_failure(get_state_folder(root))


def configure_client() -> None:
    """Set what MLflow's client reads from the environment, where the user has not."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    os.environ.pop("MLFLOW_RUN_ID", None)  # `mlflow run` sets it, and every stage would join that one run
    silence_loggers()


def silence_loggers() -> None:
    """Silence the loggers of MLflow and below: they log the traceback of what is raised and explained in one line."""
    for name in ("mlflow", "alembic", "urllib3", "sqlalchemy"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def ensure_experiment(client: MlflowClient, root: Path, task: str) -> str:
    """The id of a task's MLflow experiment, created if needed; artifacts of a database stand beside it."""
    with lock_store(root):
        # Under the lock: of two stages that find no experiment, the second would fail to create it.
        experiment = client.get_experiment_by_name(task)
        if experiment is None:
            location = None if is_server(get_tracking_uri(root)) else _locate_artifacts(root, task)
            return str(client.create_experiment(task, artifact_location=location))
        # A deleted experiment keeps its name, so that no new one could be created.
        if experiment.lifecycle_stage == "deleted":
            client.restore_experiment(experiment.experiment_id)
        return str(experiment.experiment_id)


def _locate_artifacts(root: Path, task: str) -> str:
    return (find_repository(root) / "mlartifacts" / task).as_uri()


def warn_if_moved(client: MlflowClient, root: Path, tasks: Sequence[str]) -> str:
    """Return a line if the repository's database writes artifacts into the place of another repository, else "".

    MLflow stores the place absolute and cannot change it: a repository that was moved or copied keeps the old one.
    """
    if os.environ.get(TRACKING, "").strip():
        return ""  # a store that several repositories may share
    for task in tasks:
        experiment, wanted = client.get_experiment_by_name(task), _locate_artifacts(root, task)
        place = experiment.artifact_location if experiment else wanted
        # Of another form, such as a bucket's, the place was chosen by the user.
        if place != wanted and place.split("/")[-2:] == wanted.split("/")[-2:]:
            return (
                f"expected MLflow's artifacts of {task} at {wanted}, got {place}, as in a repository that was moved or "
                "copied; move mlflow.db aside, then `make ui` makes it anew (the outs and the ledger have it all)"
            )
    return ""


def log_metrics(client: MlflowClient, run: str, metrics: Metrics) -> None:
    """Write metrics in as few requests as MLflow allows."""
    from mlflow.entities import Metric

    for start in range(0, len(metrics), CHUNK):
        client.log_batch(run, metrics=[Metric(*metric) for metric in metrics[start : start + CHUNK]])
