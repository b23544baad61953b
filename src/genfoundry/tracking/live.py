"""Live log of a training in MLflow. `publish` rebuilds runs from outputs and ledger; `client` has the client."""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genfoundry.tracking.client import Metrics, connect, ensure_experiment, get_tracking_uri, log_metrics
from genfoundry.tracking.store_errors import explain_failure, make_store_error
from genfoundry.types import Event

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

EVERY = 2.0  # seconds between two requests of a live log
PATIENCE = 20.0  # seconds that a finished training waits for its log to be written, at most
DELAY = 5.0  # seconds; a training that is shorter is logged by `publish` alone
SAMPLING = 5.0  # seconds between two samples of the system's metrics


def name_metrics(event: Event) -> Iterator[tuple[str, float]]:
    """Names and values of one event's metrics in MLflow: by these names `publish` completes a log that broke off."""
    yield from ((f"{event.clock.phase}/{name}", value) for name, value in event.iterate_columns())
    yield f"{event.clock.phase}/skipped", event.skipped


class LiveLogger:
    """The live log of one training: `with LiveLogger(...) as live: ... live.log(event) ...; live.done(digest)`.

    A thread of its own writes. A server that is down costs the training nothing but one line on standard error, and
    `publish` brings what is missing from the outs. `overhead` is how long, in seconds, the end waited for the log.

    Args:
        root: the repository.
        experiment: name of the MLflow run.
        task: name of the MLflow experiment.
        key: names the training's in-flight state: a run that a killed process left open under it is closed.
        delay: seconds before anything is written; a shorter training starts no run.
    """

    def __init__(self, root: Path, experiment: str, task: str, key: str, *, delay: float = DELAY) -> None:
        self.root, self.experiment, self.task, self.key, self.delay = root, experiment, task, key, delay
        self.overhead = 0.0
        self.digest: str | None = None
        self.began = time.time()
        self._events: queue.SimpleQueue[tuple[int, Event]] = queue.SimpleQueue()
        self._ending = threading.Event()
        self._failed = False
        # A daemon, so that a server that hangs does not keep the finished process alive.
        self._thread = threading.Thread(target=self._write, name="tracking", daemon=True)

    def __enter__(self) -> LiveLogger:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *details: object) -> None:
        self._failed = kind is not None
        self._ending.set()
        ended = time.perf_counter()
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            reason = f"it took more than {PATIENCE:.0f} s"
            self._warn(make_store_error(get_tracking_uri(self.root), reason, "see whether it is well"))
        self.overhead = time.perf_counter() - ended

    def log(self, event: Event) -> None:
        """Queue an event; returns at once."""
        self._events.put((int(time.time() * 1000), event))

    def done(self, digest: str) -> None:
        """Set the digest of the trained model, by which `publish` finds this run."""
        self.digest = digest

    def _write(self) -> None:
        if self._ending.wait(self.delay):
            return
        try:
            client = connect(self.root)
            run = self._open(client)
            with _system_metrics(run, get_tracking_uri(self.root)):
                while not self._ending.wait(EVERY):
                    self._flush(client, run)
            self._close(client, run)
        except Exception as error:  # whatever the store raises, a training goes on
            failure = explain_failure(error, get_tracking_uri(self.root))
            if not failure.remembered:
                self._warn(failure)

    def _warn(self, failure: Exception) -> None:
        print(f"tracking {self.experiment}: {failure}", file=sys.stderr)

    def _open(self, client: MlflowClient) -> str:
        experiment = ensure_experiment(client, self.root, self.task)
        with suppress(Exception):
            # A killed process left its run open. Closing it is a courtesy: a failure must not cost this run its log.
            stale = f"tags.`genfoundry.key` = '{self.key}' and attributes.status = 'RUNNING'"
            for run in client.search_runs([experiment], stale):
                client.set_terminated(run.info.run_id, "KILLED")
        tags = {"genfoundry.kind": "model", "genfoundry.experiment": self.experiment, "genfoundry.key": self.key}
        began = int(self.began * 1000)
        return str(client.create_run(experiment, began, tags, run_name=self.experiment).info.run_id)

    def _flush(self, client: MlflowClient, run: str) -> None:
        metrics: Metrics = []
        with suppress(queue.Empty):
            while True:
                now, e = self._events.get_nowait()
                metrics += [(name, value, now, e.clock.step) for name, value in name_metrics(e)]
        log_metrics(client, run, metrics)

    def _close(self, client: MlflowClient, run: str) -> None:
        self._flush(client, run)
        log_metrics(client, run, [("seconds", time.time() - self.began, int(time.time() * 1000), 0)])
        if self.digest:
            client.set_tag(run, "genfoundry.digest", self.digest)
        # Without a digest `publish` cannot know the run, and makes another.
        client.set_terminated(run, "FAILED" if self._failed or not self.digest else "FINISHED")


@contextmanager
def _system_metrics(run: str, store: str) -> Iterator[None]:
    """Log processor, memory, disk, network and GPU of this machine while the block runs."""
    monitor: Any = None
    with suppress(Exception):
        from genfoundry.tracking import mlflow_private

        monitor = mlflow_private.watch_system(run, store, SAMPLING)
    try:
        yield
    finally:
        if monitor is not None:
            monitor.finish()
