"""MLflow as a projection: runs, registered versions and aliases rebuilt from DVC outs and the ledger; twice is a no-op.

A version of the registered model `<task>` is a model that the ledger decided about, in the ledger's order; its tags
are those of the latest decision. The alias `champion` is the ledger's champion, `challenger` the latest challenger
since; a refused model is a version without alias. Descriptions and the tag `loses_to` say which references of its
table a model does not beat, and so why a task has no champion.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genfoundry import paths
from genfoundry.errors import UserError
from genfoundry.selection import ledger, references, weight_store
from genfoundry.tracking import outputs, runs
from genfoundry.tracking.client import (
    connect,
    connect_registry,
    ensure_experiment,
    get_tracking_uri,
    lock_store,
    warn_if_moved,
)
from genfoundry.tracking.store_errors import StoreError, explain_failure

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

LATER = "GENFOUNDRY_TIMES"
"""Set in the stages of `make repro`, which publishes at its end, and says then, once, why it could not."""


def publish(root: Path) -> bool:
    """Bring MLflow's store up to date; False, with one line on standard error, when it cannot be used.

    Raises:
        UserError: the ledger or an out is damaged.
    """
    try:
        update(root)
    except StoreError as error:
        if LATER not in os.environ and not error.remembered:
            print(f"publish: {error}", file=sys.stderr)
        return False
    return True


def update(root: Path) -> None:
    """Bring MLflow's store up to date.

    Raises:
        StoreError: the store, or where it keeps artifacts, cannot be used; what was written stays, and is completed.
        UserError: the ledger or an out is damaged.
    """
    root = root.resolve()
    decisions = [d for d in ledger.read_decisions(root / paths.LEDGER) if d["digest"]]  # refused data have no model
    models = outputs.find_model_outputs(root)
    if not decisions and not models:
        return
    client = connect(root)
    try:
        # Two at once would both create the version that neither finds.
        with lock_store(root, "publish"):
            tasks = sorted({decision["task"] for decision in decisions})
            names = sorted({*tasks, *(model.card["task"] for model in models)})
            if LATER not in os.environ and (warning := warn_if_moved(client, root, names)):
                print(f"publish: {warning}", file=sys.stderr)
            by_digest = runs.find_runs_by_digest(client, [ensure_experiment(client, root, name) for name in names])
            for model in models:
                by_digest[model.card["digest"], model.name] = runs.publish_run(client, root, model, by_digest)
            if tasks:
                client = connect_registry(root)
            for task in tasks:
                _publish_task(client, root, task, ledger.filter_task(decisions, task), by_digest)
    except UserError:
        raise
    except Exception as error:  # whatever a server that dies half-way or a cloud's artifact store raises
        raise explain_failure(error, get_tracking_uri(root)) from error


def _publish_task(
    client: MlflowClient, root: Path, task: str, decisions: list[ledger.Decision], by_digest: runs.Runs
) -> None:
    """The registered model of a task, its versions and aliases."""
    registered, description = client.search_registered_models(f"name = '{task}'"), describe_task(task, decisions)
    if not registered:
        client.create_registered_model(task, {"genfoundry.task": task}, description)
    elif registered[0].description != description:
        client.update_registered_model(task, description)
    versions = {v.tags.get("model_digest"): v for v in client.search_model_versions(f"name = '{task}'")}
    chosen = {"champion": ledger.find_champion(decisions, task), "challenger": ledger.find_challenger(decisions, task)}
    serving = {decision["digest"] for decision in chosen.values() if decision}
    for digest, latest in {d["digest"]: d for d in decisions}.items():  # in the order of the first decision
        run = by_digest.get((digest, latest["experiment"])) or _create_bare_run(client, root, latest, by_digest)
        version, run_id = versions.get(digest), run.info.run_id
        # The tag is written last: an upload that broke off, or found no weights, is tried again by the next publish.
        if version is None or version.tags.get("weights") != "complete":
            missing = version is not None and version.tags.get("weights") == "missing"
            complete = _upload_model(client, root, run_id, latest, digest in serving, missing)
            tags = {"weights": "complete" if complete else "missing"}
            if version is None:
                tags |= {"model_digest": digest}
                version = client.create_model_version(
                    task, f"runs:/{run_id}/model", run_id, tags, description=latest["reason"]
                )
                versions[digest] = version
            _set_tags(client, version, tags)
        _set_tags(client, version, _decision_tags(latest))
        if version.description != latest["reason"]:
            client.update_model_version(task, version.version, latest["reason"])
    aliases = client.get_registered_model(task).aliases
    for alias, decision in chosen.items():
        wanted = str(versions[decision["digest"]].version) if decision else None
        if wanted and str(aliases.get(alias)) != wanted:
            client.set_registered_model_alias(task, alias, wanted)
        elif wanted is None and alias in aliases:
            client.delete_registered_model_alias(task, alias)


def describe_task(task: str, decisions: list[ledger.Decision]) -> str:
    """The registered model's description: which version is the champion, or why there is none."""
    champion, about = ledger.find_champion(decisions, task), f"Generative models of the task {task}."
    if champion is None:
        latest = decisions[-1]
        return f"{about} No champion yet: the best candidate is {latest['experiment']}; {latest['reason']}."
    losses = ledger.find_recorded_losses(decisions, champion["digest"])
    but = f"; a reference beats it on gate since: {references.describe_losses(losses)}" if losses else ""
    return f"{about} The champion is {champion['experiment']}, decided on gate{but}."


def _decision_tags(decision: ledger.Decision) -> dict[str, str]:
    figures = decision.get("figures") or {}
    losses = references.describe_losses(figures.get("loses_to", ())) or "none"
    return {
        "git_commit": str(decision.get("commit")),
        "data_digest": decision["data"],
        "model_digest": decision["digest"],
        **{key: decision[key] for key in ("experiment", "decision", "reason")},
        "decided": f"{decision['time']} by {decision['who']}",
        "figures": json.dumps(decision.get("figures"), sort_keys=True),
        "loses_to": losses if "loses_to" in figures else "not known",  # an older line
    }


def _set_tags(client: MlflowClient, version: ModelVersion, tags: dict[str, str]) -> None:
    for key, value in tags.items():
        # Each write is a request: what is as it should be costs none, and so a second publish takes no time.
        if version.tags.get(key) != value:
            client.set_model_version_tag(version.name, version.version, key, value)


def _create_bare_run(client: MlflowClient, root: Path, decision: ledger.Decision, by_digest: runs.Runs) -> Any:
    """The run of a model that the workspace no longer holds: what the ledger says of it."""
    tags = {"kind": "model", **{key: decision[key] for key in ("digest", "experiment", "task", "data")}}
    tags |= {"model": str(decision.get("model")), "outs": "ledger"}
    tags = {f"genfoundry.{key}": value for key, value in tags.items()}
    experiment = ensure_experiment(client, root, decision["task"])
    run = client.create_run(experiment, tags=tags, run_name=decision["experiment"]).info.run_id
    for name, value in ((decision.get("figures") or {}).get("candidate") or {}).items():
        client.log_metric(run, f"gate/{name}", value)
    client.set_terminated(run)
    by_digest[decision["digest"], decision["experiment"]] = created = client.get_run(run)
    return created


def _upload_model(
    client: MlflowClient, root: Path, run: str, decision: ledger.Decision, serving: bool, missing: bool = False
) -> bool:
    """Make sure that a run holds its MLflow model; False when the weights are nowhere.

    Only what an alias serves is looked for in DVC's remotes: a long ledger would otherwise fetch every old model.
    `missing`: an earlier search of DVC's cache found nothing, and is not repeated for what nothing serves.
    """
    if client.list_artifacts(run, "model"):
        return True
    from genfoundry.tracking.package import save_mlflow_model

    try:
        # The search costs a second in DVC's cache, and a transfer from a remote.
        farthest: Any = "remotes" if serving else "store" if missing else "cache"
        folder = weight_store.find(root, decision["weights"], farthest=farthest)
    except (weight_store.WeightsLost, weight_store.RemoteUnreachable) as error:
        if serving:
            print(f"publish: {decision['task']}: the {decision['decision']} cannot be loaded: {error}", file=sys.stderr)
        return False
    metadata = {"git_commit": decision.get("commit"), "data_digest": decision["data"]}
    metadata |= {"model_digest": decision["digest"]}
    with tempfile.TemporaryDirectory() as scratch:
        try:
            save_mlflow_model(folder, Path(scratch) / "model", root / "requirements.lock", metadata)
        except UserError as error:  # an old model that today's code no longer reads
            print(f"publish: {decision['task']}: {error}", file=sys.stderr)
            return False
        client.log_artifacts(run, str(Path(scratch) / "model"), "model")
    return True
