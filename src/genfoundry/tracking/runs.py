"""Parent runs of trained models, their trials nested, rebuilt from DVC outs. A run is found by its model's digest."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genfoundry import paths
from genfoundry.files import read_json
from genfoundry.tracking.client import Metrics, ensure_experiment, log_metrics
from genfoundry.tracking.outputs import ModelOutputs

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

Runs = dict[tuple[str, str], "Run"]  # (model digest, experiment) -> parent run
PAGE = 1000


def search_runs(client: MlflowClient, experiments: list[str], kind: str) -> list[Run]:
    """Every run of a kind (`model`, `trial`) in MLflow experiments."""
    runs: list[Run] = []
    token = None
    while experiments:
        page = client.search_runs(experiments, f"tags.`genfoundry.kind` = '{kind}'", max_results=PAGE, page_token=token)
        runs, token = runs + list(page), page.token
        if not token:
            break
    return runs


def find_runs_by_digest(client: MlflowClient, experiments: list[str]) -> Runs:
    """The parent runs that are there."""
    tagged = [(run.data.tags, run) for run in search_runs(client, experiments, "model")]
    return {(t["genfoundry.digest"], t["genfoundry.experiment"]): r for t, r in tagged if "genfoundry.digest" in t}


def publish_run(client: MlflowClient, root: Path, one: ModelOutputs, runs: Runs) -> Run:
    """The run of a trained model: made, or completed by what its outs have and it has not."""
    card, mark = one.card, one.fingerprint()
    run = runs.get((card["digest"], one.name))
    if run is not None and run.data.tags.get("genfoundry.outs") == mark:
        return _measured(client, run, one)
    where = ensure_experiment(client, root, card["task"])
    tags = {"kind": "model", "digest": card["digest"], "experiment": one.name, "model": card["model"]}
    tags |= {"task": card["task"], "dataset": card["dataset"], "data": card["digests"]["data"]}
    tags = {f"genfoundry.{key}": str(value) for key, value in tags.items()}
    if run is None:
        run = client.create_run(where, tags=tags, run_name=one.name)
    _complete(client, run, one, tags)
    _trials(client, where, one, run.info.run_id)
    client.set_tag(run.info.run_id, "genfoundry.outs", mark)  # last: a publish that was killed begins anew
    client.set_terminated(run.info.run_id, "FINISHED", end_time=run.info.end_time)
    return _measured(client, client.get_run(run.info.run_id), one)


def _measured(client: MlflowClient, run: Run, one: ModelOutputs) -> Run:
    """The model's page and what it cost here: they change while the outs do not, so they have a mark of their own."""
    mark, name, now = one.measured(), run.info.run_id, int(time.time() * 1000)
    if run.data.tags.get("genfoundry.page") == mark:
        return run
    log_metrics(client, name, [(k, v, now, 0) for k, v in one.costs.items() if run.data.metrics.get(k) != v])
    if one.page.exists():
        client.log_artifact(name, str(one.page), "report")
    client.set_tag(name, "genfoundry.page", mark)
    return client.get_run(name)


def _complete(client: MlflowClient, run: Run, one: ModelOutputs, tags: Mapping[str, str]) -> None:
    from mlflow.entities import Param, RunTag

    name, now = run.info.run_id, int(time.time() * 1000)
    params = {k: v for k, v in one.params().items() if k not in run.data.params}
    client.log_batch(name, params=[Param(k, v) for k, v in params.items()], tags=[RunTag(*t) for t in tags.items()])
    curve = list(one.curve())
    half = {key for key, _, _ in curve} & run.data.metrics.keys()  # a live log that broke off is continued
    there = {(key, point.step) for key in half for point in client.get_metric_history(name, key)}
    metrics: Metrics = [(k, v, now, step) for k, v, step in curve if (k, step) not in there]
    metrics += [(k, v, now, 0) for k, v in one.figures().items() if run.data.metrics.get(k) != v]
    log_metrics(client, name, metrics)
    if not run.inputs.dataset_inputs:
        client.log_inputs(name, [_dataset(one)])
    for folder, place in ((one.panels, "panels"), (one.tuning, "tuning")):
        if folder.is_dir():
            client.log_artifacts(name, str(folder), place)
    for path, place in ((one.curves, "training"), (one.evaluation, "evaluation"), (one.scores, "evaluation")):
        if path.exists():
            client.log_artifact(name, str(path), place)


def _dataset(one: ModelOutputs) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    data, digest = one.card["dataset"], one.card["digests"]["data"]
    spec = one.root / paths.prepared(data) / "spec.json"
    about = read_json(spec) if spec.exists() else {}
    counts = json.dumps(about["counts"]) if about.get("digest") == digest else None
    source = json.dumps({"uri": paths.prepared(data).as_posix()})
    entity = Dataset(name=data, digest=digest[:36], source_type="local", source=source, profile=counts)
    return DatasetInput(entity, [InputTag("mlflow.data.context", "training"), InputTag("digest", digest)])


def _trials(client: MlflowClient, where: str, one: ModelOutputs, parent: str) -> None:
    path = one.tuning / "trials.jsonl"
    if not path.exists():
        return
    of_ours = {t for r in search_runs(client, [where], "trial") if (t := r.data.tags.get("genfoundry.trial"))}
    summary = one.tuning / "summary.json"
    objective = read_json(summary)["objective"] if summary.exists() else "value"
    for text in path.read_text(encoding="utf-8").splitlines():
        trial = json.loads(text)
        name = f"{one.card['digest']}:{one.name}:{trial['number']}"
        if name not in of_ours:
            _trial(client, where, trial, name, parent, one.name, objective)


def _trial(
    client: MlflowClient, where: str, trial: Mapping[str, Any], name: str, parent: str, experiment: str, objective: str
) -> None:
    from mlflow.entities import Param, RunTag

    tags = {"mlflow.parentRunId": parent, "genfoundry.kind": "trial", "genfoundry.state": trial["state"]}
    run = client.create_run(where, tags=tags, run_name=f"{experiment} trial {trial['number']}").info.run_id
    now = int(time.time() * 1000)
    points: Metrics = [(f"reported/{objective}", value, now, step) for step, value in trial.get("reports", [])]
    if trial["value"] is not None:
        points.append((objective, trial["value"], now, 0))
    log_metrics(client, run, [p for p in points if math.isfinite(p[1])])
    client.log_batch(run, params=[Param(k, str(v)) for k, v in trial["params"].items()])
    client.log_batch(run, tags=[RunTag("genfoundry.trial", name)])  # last: an unfinished one is made anew
    client.set_terminated(run, "FAILED" if trial["state"] == "FAIL" else "FINISHED")
