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
from genfoundry.files import file_lock
from genfoundry.selection import ledger, references, weight_store
from genfoundry.tracking import outputs, runs
from genfoundry.tracking.client import connect, connect_registry, ensure_experiment, get_state_folder, get_tracking_uri
from genfoundry.tracking.store_errors import StoreError, explain_failure

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

LATER = "GENFOUNDRY_TIMES"
"""Set in the stages of `make repro`, which publishes at its end: it says then, once, why it could not."""


def publish(root: Path) -> bool:
    """Bring MLflow's store up to date; False, with one line on standard error, when it cannot be had.

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
    lines = [
        line for line in ledger.read_decisions(root / paths.LEDGER) if line["digest"]
    ]  # refused data have no model
    there = outputs.find_model_outputs(root)
    if not lines and not there:
        return
    client = connect(root)
    try:
        with file_lock(get_state_folder(root) / "publish"):
            _publish(client, root, lines, there)
    except UserError:
        raise
    except Exception as error:  # whatever a server that dies half-way or a cloud's artifact store raises
        raise explain_failure(error, get_tracking_uri(root)) from error


def _publish(client: MlflowClient, root: Path, lines: list[ledger.Decision], there: list[outputs.ModelOutputs]) -> None:
    tasks = sorted({line["task"] for line in lines})
    homes = sorted({*tasks, *(one.card["task"] for one in there)})
    known = runs.find_runs_by_digest(client, [ensure_experiment(client, root, task) for task in homes])
    for one in there:
        run = runs.publish_run(client, root, one, known)
        known[one.card["digest"], one.name] = run
    if tasks:
        client = connect_registry(root)
    for task in tasks:
        _versions(client, root, task, ledger.filter_task(lines, task), known)


def _versions(client: MlflowClient, root: Path, task: str, lines: list[ledger.Decision], known: runs.Runs) -> None:
    there, standing = client.search_registered_models(f"name = '{task}'"), describe_registered_model(task, lines)
    if not there:
        client.create_registered_model(task, {"genfoundry.task": task}, standing)
    elif there[0].description != standing:
        client.update_registered_model(task, standing)
    versions = {v.tags.get("model_digest"): v for v in client.search_model_versions(f"name = '{task}'")}
    alias = {"champion": ledger.find_champion(lines, task), "challenger": ledger.find_challenger(lines, task)}
    served = {line["digest"] for line in alias.values() if line}
    for digest, line in {line["digest"]: line for line in lines}.items():  # in the order of the first decision
        run = known.get((digest, line["experiment"])) or _bare_run(client, root, line, known)
        version = versions.get(digest)
        if version is None or version.tags.get("weights") != "complete":
            missing = version is not None and version.tags.get("weights") == "missing"
            complete = _uploaded(client, root, run.info.run_id, line, digest in served, missing)
            tags = {"weights": "complete" if complete else "missing"}
            if version is None:
                source = f"runs:/{run.info.run_id}/model"
                tags |= {"model_digest": digest}
                version = client.create_model_version(task, source, run.info.run_id, tags, description=line["reason"])
                versions[digest] = version
            _tag(client, version, tags)
        _tag(client, version, _tags(line))
        if version.description != line["reason"]:
            client.update_model_version(task, version.version, line["reason"])
    aliases = client.get_registered_model(task).aliases
    for name, chosen in alias.items():
        wanted = str(versions[chosen["digest"]].version) if chosen else None
        if wanted and str(aliases.get(name)) != wanted:
            client.set_registered_model_alias(task, name, wanted)
        elif wanted is None and name in aliases:
            client.delete_registered_model_alias(task, name)


def describe_registered_model(task: str, lines: list[ledger.Decision]) -> str:
    """The registered model's description: which version is the champion, or why there is none."""
    champion, about = ledger.find_champion(lines, task), f"Generative models of the task {task}."
    if champion is None:
        return f"{about} No champion yet: the best candidate is {lines[-1]['experiment']}; {lines[-1]['reason']}."
    lost = ledger.find_recorded_losses(lines, champion["digest"])
    but = f"; a reference beats it on gate since: {references.describe_losses(lost)}" if lost else ""
    return f"{about} The champion is {champion['experiment']}, decided on gate{but}."


def _tags(line: ledger.Decision) -> dict[str, str]:
    figures = line.get("figures") or {}
    lost = (
        references.describe_losses(figures["loses_to"]) or "none" if "loses_to" in figures else "not known"
    )  # a line of old
    return {
        "git_commit": str(line.get("commit")),
        "data_digest": line["data"],
        "model_digest": line["digest"],
        "experiment": line["experiment"],
        "decision": line["decision"],
        "reason": line["reason"],
        "decided": f"{line['time']} by {line['who']}",
        "figures": json.dumps(line.get("figures"), sort_keys=True),
        "loses_to": lost,
    }


def _tag(client: MlflowClient, version: ModelVersion, tags: dict[str, str]) -> None:
    for key, value in tags.items():
        if version.tags.get(key) != value:
            client.set_model_version_tag(version.name, version.version, key, value)


def _bare_run(client: MlflowClient, root: Path, line: ledger.Decision, known: runs.Runs) -> Any:
    """The run of a model that the workspace no longer holds: what the ledger says of it."""
    tags = {"kind": "model", "digest": line["digest"], "experiment": line["experiment"], "task": line["task"]}
    tags |= {"data": line["data"], "model": str(line.get("model")), "outs": "ledger"}
    tagged = {f"genfoundry.{key}": value for key, value in tags.items()}
    where = ensure_experiment(client, root, line["task"])
    run = client.create_run(where, tags=tagged, run_name=line["experiment"]).info.run_id
    for name, value in ((line.get("figures") or {}).get("candidate") or {}).items():
        client.log_metric(run, f"gate/{name}", value)
    client.set_terminated(run)
    known[line["digest"], line["experiment"]] = client.get_run(run)
    return known[line["digest"], line["experiment"]]


def _uploaded(
    client: MlflowClient, root: Path, run: str, line: ledger.Decision, serving: bool, known_missing: bool = False
) -> bool:
    """Have the run hold the MLflow model; False when the weights are not to be had.

    Only what an alias serves is looked for in DVC's remotes: a long ledger would otherwise fetch every old model.
    `known_missing`: an earlier look into DVC's cache found nothing, and is not repeated for what nothing serves.
    """
    if client.list_artifacts(run, "model"):
        return True
    from genfoundry.tracking.package import save_mlflow_model

    try:
        farthest: Any = "remotes" if serving else "store" if known_missing else "cache"
        folder = weight_store.find(root, line["weights"], farthest=farthest)
    except (weight_store.WeightsLost, weight_store.RemoteUnreachable) as error:
        if serving:
            print(f"publish: {line['task']}: the {line['decision']} cannot be loaded: {error}", file=sys.stderr)
        return False
    metadata = {"git_commit": line.get("commit"), "data_digest": line["data"], "model_digest": line["digest"]}
    with tempfile.TemporaryDirectory() as scratch:
        try:
            save_mlflow_model(folder, Path(scratch) / "model", root / "requirements.lock", metadata)
        except UserError as error:  # an old model that today's code no longer reads
            print(f"publish: {line['task']}: {error}", file=sys.stderr)
            return False
        client.log_artifacts(run, str(Path(scratch) / "model"), "model")
    return True
