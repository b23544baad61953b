"""The live log: complete when the store is there, harmless when it is not, one database however many start at once."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

import fabricated
import fake_server
import pytest

from genfoundry.tracking import client as tracking_client
from genfoundry.tracking import live as tracking
from genfoundry.types import Clock, Event

EVENTS = 2500


@pytest.fixture(autouse=True)
def own_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)


def train(root: Path, events: int = EVENTS, digest: str | None = "d1") -> tracking.LiveLogger:
    with tracking.LiveLogger(root, "vae-x", "task", "key1", delay=0) as live:
        for step in range(events):
            live.log(Event(Clock("fit", step, events), {"model": 1 / (step + 1)}, {"model": 0.1}, 0))
        if digest:
            live.done(digest)
    return live


def runs(root: Path) -> list[Any]:
    client = tracking_client.connect(root)
    return list(client.search_runs([client.get_experiment_by_name("task").experiment_id]))


def test_every_event_arrives_in_batches(tmp_path: Path) -> None:
    os.environ["MLFLOW_RUN_ID"] = "of-mlflow-run"
    train(tmp_path)
    assert "MLFLOW_RUN_ID" not in os.environ
    (run,) = runs(tmp_path)
    assert run.info.status == "FINISHED"
    assert run.data.tags["genfoundry.digest"] == "d1"
    history = tracking_client.connect(tmp_path).get_metric_history(run.info.run_id, "fit/loss.model")
    assert [point.step for point in history] == list(range(EVENTS))
    assert run.data.metrics["seconds"] > 0


def test_the_machine_is_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fabricated.database(tmp_path)
    monkeypatch.setattr(tracking, "SAMPLING", 0.2)
    monkeypatch.setattr(tracking, "EVERY", 0.2)
    client = tracking_client.connect(tmp_path)
    where = tracking_client.ensure_experiment(client, tmp_path, "task")
    with tracking.LiveLogger(tmp_path, "vae-x", "task", "k", delay=0) as live:
        for _ in range(300):
            keys = [key for run in client.search_runs([where]) for key in run.data.metrics]
            if any(key.startswith("system/") for key in keys):
                break
            time.sleep(0.1)
        live.done("d")
    assert "system/cpu_utilization_percentage" in runs(tmp_path)[0].data.metrics


def test_a_killed_trainings_run_is_closed_when_it_goes_on(tmp_path: Path) -> None:
    fabricated.database(tmp_path)
    client = tracking_client.connect(tmp_path)
    where = tracking_client.ensure_experiment(client, tmp_path, "task")
    left = client.create_run(where, tags={"genfoundry.key": "key1"}).info.run_id
    train(tmp_path, 1)
    assert {r.info.run_id == left: r.info.status for r in runs(tmp_path)} == {True: "KILLED", False: "FINISHED"}


def test_a_training_that_fails_leaves_a_failed_run(tmp_path: Path) -> None:
    fabricated.database(tmp_path)

    def fails() -> None:
        with tracking.LiveLogger(tmp_path, "vae-x", "task", "k", delay=0) as live:
            live.log(Event(Clock("fit", 1, 2), {"model": 1.0}, {}, 0))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    (run,) = runs(tmp_path)
    assert (run.info.status, run.data.metrics["fit/loss.model"]) == ("FAILED", 1.0)


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9", "file:/nowhere/mlruns"])
def test_a_store_that_is_not_there_costs_seconds_and_one_line(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    began = time.perf_counter()
    live = train(tmp_path)
    assert time.perf_counter() - began < 8
    assert live.overhead < 8
    assert capfd.readouterr().err.count("\n") == 1


def test_trainings_of_a_run_say_once_that_the_store_is_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with fake_server.answering(401) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        for _ in range(3):
            assert train(tmp_path, 10).overhead < 8
    line = (
        f"tracking vae-x: MLflow at {address} is left out: the server wants a login (401); set MLFLOW_TRACKING_USERNAME"
    )
    err = capfd.readouterr().err
    assert err.startswith(line) and err.count("\n") == 1


def test_a_short_training_starts_nothing(tmp_path: Path) -> None:
    with tracking.LiveLogger(tmp_path, "vae-x", "task", "k") as live:
        live.log(Event(Clock("fit", 1, 2), {"model": 1.0}, {}, 0))
        live.done("d")
    assert live.overhead < 0.5
    assert not (tmp_path / "mlflow.db").exists()


def _connect(root: str, queue: Any) -> None:
    client = tracking_client.connect(Path(root))
    queue.put(tracking_client.ensure_experiment(client, Path(root), "task"))


def test_stages_that_start_at_once_make_one_database(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    started = [context.Process(target=_connect, args=(str(tmp_path), queue)) for _ in range(2)]
    for process in started:
        process.start()
    ids = {queue.get(timeout=120) for _ in started}
    for process in started:
        process.join()
    assert len(ids) == 1
    assert [p.exitcode for p in started] == [0, 0]


def test_copies_of_the_repository_share_its_store(tmp_path: Path) -> None:
    copy = tmp_path / ".dvc/tmp/exps/tmpabc"
    copy.mkdir(parents=True)
    assert tracking_client.find_repository(copy) == tmp_path
    assert tracking_client.get_tracking_uri(copy) == f"sqlite:///{tmp_path / 'mlflow.db'}"
