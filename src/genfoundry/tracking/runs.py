"""Parent runs of trained models, their trials nested, rebuilt from DVC outs. A run is found by its model's digest."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from genfoundry import paths
from genfoundry.files import read_json
from genfoundry.tracking.client import Metrics, ensure_experiment, log_metrics

if TYPE_CHECKING:
    from pathlib import Path

    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

    from genfoundry.tracking.outputs import ModelOutputs

Runs = dict[tuple[str, str], "Run"]  # (model digest, experiment) -> parent run
PAGE = 1000  # runs in an answer, MLflow's limit


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
    """The parent runs in MLflow experiments."""
    tagged = [(run.data.tags, run) for run in search_runs(client, experiments, "model")]
    return {(t["genfoundry.digest"], t["genfoundry.experiment"]): r for t, r in tagged if "genfoundry.digest" in t}


def publish_run(client: MlflowClient, root: Path, model: ModelOutputs, runs: Runs) -> Run:
    """The run of a trained model: made, or completed with what its outs have and it lacks."""
    card, mark = model.card, model.hash_outs()
    run = runs.get((card["digest"], model.name))
    if run is None or run.data.tags.get("genfoundry.outs") != mark:
        experiment = ensure_experiment(client, root, card["task"])
        tags = {"kind": "model", "digest": card["digest"], "experiment": model.name, "model": card["model"]}
        tags |= {"task": card["task"], "dataset": card["dataset"], "data": card["digests"]["data"]}
        tags = {f"genfoundry.{key}": str(value) for key, value in tags.items()}
        run = run or client.create_run(experiment, tags=tags, run_name=model.name)
        _complete_run(client, run, model, tags)
        _publish_trials(client, experiment, model, run.info.run_id)
        client.set_tag(run.info.run_id, "genfoundry.outs", mark)  # last: a publish that was killed begins anew
        # A live log ended the run when the training did: that time stays.
        client.set_terminated(run.info.run_id, "FINISHED", end_time=run.info.end_time)
        run = client.get_run(run.info.run_id)
    return _publish_page_and_costs(client, run, model)


def _publish_page_and_costs(client: MlflowClient, run: Run, model: ModelOutputs) -> Run:
    """Log the model's page and costs. They change while the outputs do not, so they have their own mark."""
    mark, name, now = model.hash_page_and_costs(), run.info.run_id, int(time.time() * 1000)
    if run.data.tags.get("genfoundry.page") == mark:
        return run
    log_metrics(client, name, [(k, v, now, 0) for k, v in model.costs.items() if run.data.metrics.get(k) != v])
    if model.page.exists():
        client.log_artifact(name, str(model.page), "report")
    client.set_tag(name, "genfoundry.page", mark)
    return client.get_run(name)


def _complete_run(client: MlflowClient, run: Run, model: ModelOutputs, tags: Mapping[str, str]) -> None:
    from mlflow.entities import Param, RunTag

    name, now = run.info.run_id, int(time.time() * 1000)
    params = [Param(key, value) for key, value in model.params().items() if key not in run.data.params]
    client.log_batch(name, params=params, tags=[RunTag(*tag) for tag in tags.items()])
    curve = list(model.iterate_curve())
    partial = {key for key, _, _ in curve} & run.data.metrics.keys()  # a live log that broke off is continued
    logged = {(key, point.step) for key in partial for point in client.get_metric_history(name, key)}
    metrics: Metrics = [(key, value, now, step) for key, value, step in curve if (key, step) not in logged]
    metrics += [(k, v, now, 0) for k, v in model.metrics().items() if run.data.metrics.get(k) != v]
    log_metrics(client, name, metrics)
    if not run.inputs.dataset_inputs:
        client.log_inputs(name, [_describe_dataset(model)])
    for path, folder in (
        (model.panels, "panels"),
        (model.tuning, "tuning"),
        (model.curves, "training"),
        (model.evaluation, "evaluation"),
        (model.scores, "evaluation"),
    ):
        if path.exists():
            (client.log_artifacts if path.is_dir() else client.log_artifact)(name, str(path), folder)


def _describe_dataset(model: ModelOutputs) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset, digest = model.card["dataset"], model.card["digests"]["data"]
    spec = model.root / paths.prepared(dataset) / "spec.json"
    prepared = read_json(spec) if spec.exists() else {}
    counts = json.dumps(prepared["counts"]) if prepared.get("digest") == digest else None
    source = json.dumps({"uri": paths.prepared(dataset).as_posix()})
    # MLflow takes 36 characters of a digest; a tag of the input has all of them.
    entity = Dataset(name=dataset, digest=digest[:36], source_type="local", source=source, profile=counts)
    return DatasetInput(entity, [InputTag("mlflow.data.context", "training"), InputTag("digest", digest)])


def _publish_trials(client: MlflowClient, experiment: str, model: ModelOutputs, parent: str) -> None:
    from mlflow.entities import Param, RunTag

    path, summary = model.tuning / "trials.jsonl", model.tuning / "summary.json"
    if not path.exists():
        return
    published = {run.data.tags.get("genfoundry.trial") for run in search_runs(client, [experiment], "trial")}
    objective = read_json(summary)["objective"] if summary.exists() else "value"
    for trial in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
        name = f"{model.card['digest']}:{model.name}:{trial['number']}"
        if name in published:
            continue
        tags = {"mlflow.parentRunId": parent, "genfoundry.kind": "trial", "genfoundry.state": trial["state"]}
        tags |= {"genfoundry.reason": trial["reason"]} if "reason" in trial else {}
        title = f"{model.name} trial {trial['number']}"
        run, now = client.create_run(experiment, tags=tags, run_name=title).info.run_id, int(time.time() * 1000)
        metrics = [(f"reported/{objective}", value, now, step) for step, value in trial.get("reports", [])]
        metrics += [] if trial["value"] is None else [(objective, trial["value"], now, 0)]
        log_metrics(client, run, [metric for metric in metrics if math.isfinite(metric[1])])
        client.log_batch(run, params=[Param(key, str(value)) for key, value in trial["params"].items()])
        client.log_batch(run, tags=[RunTag("genfoundry.trial", name)])  # last: an unfinished one is made anew
        client.set_terminated(run, "FAILED" if trial["state"] == "FAIL" else "FINISHED")
