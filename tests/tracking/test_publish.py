"""MLflow is a projection: rebuilt on an empty database, twice is a no-op, and what is registered loads anywhere."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fabricated
import pytest
from fabricated import DATA, OBJECTIVE, TASK

from genfoundry.selection import ledger, promotion
from genfoundry.tracking import client as tracking_client
from genfoundry.tracking import cost_log
from genfoundry.tracking.publish import publish
from pipeline.commands import repro


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A repository whose second model beat the first, published."""
    patch = pytest.MonkeyPatch()
    patch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root = tmp_path_factory.mktemp("repository")
    fabricated.prepare(root)
    for name, order in (("weak", 1), ("strong", 2)):
        fabricated.train(root, name, order)
        fabricated.register(root)
        assert promotion.promote(TASK, OBJECTIVE, root) == "champion"
    fabricated.database(root)
    assert publish(root)
    yield root
    patch.undo()


def emptied(root: Path, to: Path, *less: str) -> None:
    """The repository with an empty store, as on a fresh machine."""
    ignored = shutil.ignore_patterns("mlflow.db*", "mlartifacts", *less)
    shutil.copytree(root, to, dirs_exist_ok=True, ignore=ignored)
    fabricated.database(to)


def census(root: Path) -> dict[str, Any]:
    """All that a store holds, less ids and times."""
    client = tracking_client.connect(root)
    where = [e.experiment_id for e in client.search_experiments() if e.name != "Default"]
    runs = client.search_runs(where)
    versions = client.search_model_versions(f"name = '{TASK}'")
    points = {
        (r.info.run_name, key): [(m.step, m.value) for m in client.get_metric_history(r.info.run_id, key)]
        for r in runs
        for key in r.data.metrics
    }
    return {
        "experiments": sorted(e.name for e in client.search_experiments()),
        "runs": sorted((r.info.run_name, r.info.status, sorted(r.data.params.items())) for r in runs),
        "points": points,
        "nested": sum("mlflow.parentRunId" in r.data.tags for r in runs),
        "inputs": sorted(i.dataset.name + i.dataset.digest for r in runs for i in r.inputs.dataset_inputs),
        "artifacts": sorted((r.info.run_name, a.path) for r in runs for a in client.list_artifacts(r.info.run_id)),
        "versions": sorted((int(v.version), v.description, json.dumps(v.tags, sort_keys=True)) for v in versions),
        "aliases": {k: int(v) for k, v in client.get_registered_model(TASK).aliases.items()},
    }


def test_metrics_are_figures_and_not_what_figures_are_stated_with(root: Path) -> None:
    keys = {key for name, key in census(root)["points"] if name == "strong"}
    assert {"val/nats", "gate/nats", "test/nats", "gate/nats_stderr"} <= keys
    assert not [key for key in keys if key.endswith(("nats_n", "nats_groups", "nats_low", "nats_high"))]
    card = json.loads((root / "reports/scores" / DATA / "strong/card.json").read_text())
    assert card["anchors"] and {f"test/{name}" for name in card["anchors"]} <= keys
    assert json.loads((root / "reports/evaluation/strong.json").read_text()).keys() == {
        "objective", "val", "gate", "test", "low", "high"}  # fmt: skip


def test_runs_versions_and_aliases_are_there(root: Path) -> None:
    store = census(root)
    assert TASK in store["experiments"]
    assert len(store["runs"]) == 8
    assert store["nested"] == 6
    assert store["aliases"] == {"champion": 2}
    assert [v[0] for v in store["versions"]] == [1, 2]
    tags = json.loads(store["versions"][1][2])
    line = ledger.read_decisions(root / "ledger.jsonl")[-1]
    assert (tags["model_digest"], tags["data_digest"], tags["decision"]) == (line["digest"], line["data"], "champion")
    assert "improves by" in tags["reason"]
    assert store["points"]["strong", "fit/loss.model"] == [(1, 5.0), (2, 2.5), (3, pytest.approx(5 / 3))]
    assert ("strong", "test/nats") in store["points"]
    assert store["points"]["strong trial 0", "reported/nats"] == [(1, 3.0), (2, 2.5)]
    assert {p for n, p in store["artifacts"] if n == "strong"} >= {"model", "panels", "tuning", "training"}
    assert store["inputs"] == ["waves" + "d" * 36] * 2


def test_twice_is_a_no_op(root: Path) -> None:
    before = census(root)
    assert publish(root)
    assert census(root) == before


def test_an_empty_database_gets_the_same(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    emptied(root, tmp_path)
    assert publish(tmp_path)
    assert capsys.readouterr().err == ""
    assert census(tmp_path) == census(root)


def test_a_store_that_was_copied_is_said(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    assert publish(tmp_path)
    wanted, old = ((folder / "mlartifacts" / TASK).as_uri() for folder in (tmp_path, root))
    (line,) = capsys.readouterr().err.splitlines()
    assert f"expected MLflow's artifacts of {TASK} at {wanted}, got {old}, as in" in line
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")  # of several repositories, maybe
    assert publish(tmp_path)
    assert capsys.readouterr().err == ""


def test_a_live_run_is_completed_not_doubled(root: Path, tmp_path: Path) -> None:
    emptied(root, tmp_path)
    line = ledger.read_decisions(root / "ledger.jsonl")[-1]
    client = tracking_client.connect(tmp_path)
    where = tracking_client.ensure_experiment(client, tmp_path, TASK)
    tags = {"kind": "model", "digest": line["digest"], "experiment": "strong"}
    run = client.create_run(where, tags={f"genfoundry.{k}": v for k, v in tags.items()}, run_name="strong")
    tracking_client.log_metrics(client, run.info.run_id, [("fit/loss.model", 5.0, 1, 1), ("seconds", 3.0, 1, 0)])
    assert publish(tmp_path)
    points = census(tmp_path)["points"]
    assert points.pop(("strong", "seconds")) == [(0, 3.0)]
    assert points == census(root)["points"]


def test_a_page_and_costs_reach_the_run_and_follow_what_changes(root: Path, tmp_path: Path) -> None:
    emptied(root, tmp_path)
    assert publish(tmp_path)
    store_of = tracking_client.connect(tmp_path)
    where = tracking_client.ensure_experiment(store_of, tmp_path, TASK)

    def run() -> Any:
        return store_of.search_runs([where], "attributes.run_name = 'strong'")[0]

    before = run()
    page = tmp_path / "reports/models/strong.html"
    page.parent.mkdir(parents=True)
    page.write_text("<h1>first</h1>")
    cost_log.record_costs(tmp_path, before.data.tags["genfoundry.digest"], train_seconds=3.5, device="cpu")
    assert publish(tmp_path)
    assert run().data.metrics["cost/train_seconds"] == 3.5
    assert not [key for key in run().data.metrics if key == "cost/device"]
    assert [a.path for a in store_of.list_artifacts(run().info.run_id, "report")] == ["report/strong.html"]
    assert run().data.tags["genfoundry.outs"] == before.data.tags["genfoundry.outs"]
    once = census(tmp_path)
    assert publish(tmp_path)
    assert census(tmp_path) == once
    page.write_text("<h1>second</h1>")
    cost_log.record_costs(tmp_path, before.data.tags["genfoundry.digest"], train_seconds=4.5)
    assert publish(tmp_path)
    assert run().data.metrics["cost/train_seconds"] == 4.5
    assert [v for k, v in census(tmp_path)["points"].items() if k[1] == "cost/train_seconds"] == [[(0, 3.5), (0, 4.5)]]
    local = store_of.download_artifacts(run().info.run_id, "report/strong.html", str(tmp_path))
    assert Path(local).read_text() == "<h1>second</h1>"


def test_a_challenger_has_its_alias_until_it_is_over(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    weak, strong = ledger.read_decisions(root / "ledger.jsonl")
    client = tracking_client.connect(tmp_path)
    ledger.append_decision(tmp_path / "ledger.jsonl", {**weak, "decision": "challenger", "reason": "again"})
    assert publish(tmp_path)
    store = census(tmp_path)
    assert store["aliases"] == {"champion": 2, "challenger": 1}
    assert store["versions"][0][1] == "again"
    ledger.append_decision(tmp_path / "ledger.jsonl", {**strong, "reason": "still"})
    assert publish(tmp_path)
    assert client.get_registered_model(TASK).aliases.keys() == {"champion"}


def test_the_registry_says_what_a_task_without_a_champion_still_loses_to(root: Path, tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns("mlflow.db*", "mlartifacts", "ledger.jsonl")
    shutil.copytree(root, tmp_path, dirs_exist_ok=True, ignore=ignored)
    fabricated.database(tmp_path)
    fabricated.references(tmp_path, ngram=("reference", 0.01))
    fabricated.register(tmp_path)
    assert promotion.promote(TASK, OBJECTIVE, tmp_path) == "refused"
    assert publish(tmp_path)
    client = tracking_client.connect(tmp_path)
    model = client.get_registered_model(TASK)
    assert "champion" not in model.aliases
    assert "No champion yet: the best candidate is strong; nats" in model.description
    assert "on gate loses to ngram (0.01, by " in model.description
    (version,) = client.search_model_versions(f"name = '{TASK}'")
    assert version.tags["loses_to"].startswith("ngram (0.01, by ") and version.tags["decision"] == "refused"
    fabricated.references(tmp_path, ngram=("reference", 99.0))
    fabricated.register(tmp_path)
    assert promotion.promote(TASK, OBJECTIVE, tmp_path) == "champion"
    assert publish(tmp_path)
    model = client.get_registered_model(TASK)
    assert set(model.aliases) == {"champion"} and "The champion is strong" in model.description
    assert client.get_model_version_by_alias(TASK, "champion").tags["loses_to"] == "none"
    fabricated.references(tmp_path, ngram=("reference", 0.01))
    fabricated.register(tmp_path)
    assert promotion.promote(TASK, OBJECTIVE, tmp_path) == "refused"
    assert publish(tmp_path)
    model = client.get_registered_model(TASK)
    assert set(model.aliases) == {"champion"} and "beats it on gate since: ngram (0.01" in model.description


def test_refused_data_are_no_version(root: Path, tmp_path: Path) -> None:
    emptied(root, tmp_path)
    line = {"task": TASK, "decision": "refused", "reason": "too bright", "data": "e" * 64, "who": "x", "time": "now"}
    line |= dict.fromkeys(("experiment", "model", "digest", "ranking", "commit")) | {"weights": {}, "figures": {}}
    ledger.append_decision(tmp_path / "ledger.jsonl", line)
    assert publish(tmp_path)
    assert census(tmp_path)["versions"] == census(root)["versions"]


def test_a_model_that_is_nowhere_is_a_version_that_says_so(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    emptied(root, tmp_path, ".state", "strong")
    assert publish(tmp_path)
    assert "cannot be loaded" in capsys.readouterr().err
    store = census(tmp_path)
    assert [json.loads(v[2])["weights"] for v in store["versions"]] == ["complete", "missing"]
    assert store["aliases"] == {"champion": 2}
    shutil.copytree(root / "models/experiments/strong", tmp_path / "models/experiments/strong")
    assert publish(tmp_path)
    assert [json.loads(v[2])["weights"] for v in census(tmp_path)["versions"]] == ["complete", "complete"]


def test_a_server_that_is_down_is_one_line(
    root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert not publish(root)
    assert capfd.readouterr().err.count("\n") == 1
    tracking_client.forget_failure(root)


def fails(error: Exception) -> Callable[..., None]:
    def method(*arguments: object, **named: object) -> None:
        raise error

    return method


FAILURES = [
    ("set_tag", OSError(104, "Connection reset by peer"), "the server closed the connection"),
    ("log_artifacts", ModuleNotFoundError("No module named 'boto3'"), "it needs the Python package boto3; install it"),
    ("log_artifact", RuntimeError("bucket gone\nand more"), "RuntimeError: bucket gone and more; see MLFLOW_TRACKING"),
    ("create_model_version", sqlite3.DatabaseError("database disk image is malformed"), "the file is damaged"),
    ("search_runs", sqlite3.OperationalError("database is locked"), "another process holds the database locked"),
]


@pytest.mark.parametrize(("method", "error", "line"), FAILURES)
def test_a_store_that_fails_half_way_is_one_line_and_completed_later(
    root: Path,
    tmp_path: Path,
    method: str,
    error: Exception,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    from mlflow.tracking import MlflowClient

    emptied(root, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, method, fails(error))
        assert not publish(tmp_path)
    err = capfd.readouterr().err
    assert line in err and err.count("\n") == 1
    assert publish(tmp_path)
    assert census(tmp_path)["aliases"] == {"champion": 2}


def test_a_registry_that_is_down_leaves_the_runs(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    emptied(root, tmp_path)
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "http://127.0.0.1:9")
    assert not publish(tmp_path)
    assert "MLflow at http://127.0.0.1:9 is left out: nothing listens there" in capfd.readouterr().err
    monkeypatch.delenv("MLFLOW_REGISTRY_URI")
    client = tracking_client.connect(tmp_path)
    assert client.search_runs([client.get_experiment_by_name(TASK).experiment_id])
    assert not client.search_registered_models()


def test_a_stage_of_make_repro_leaves_the_line_to_its_end(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    emptied(root, tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("GENFOUNDRY_TIMES", str(tmp_path / "times"))
    assert not publish(tmp_path)
    assert capfd.readouterr().err == ""
    monkeypatch.chdir(tmp_path)
    assert "nothing listens there" in repro.publish()


LOAD = """
import json, sys, mlflow, pandas as pd
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/waves-density@champion")
past = [[0.0], [0.5], [1.0], [0.2]]
drawn = model.predict(pd.DataFrame({"n": [3], "past": [past]}), params={"seed": 1})
again = model.predict(pd.DataFrame({"n": [3], "past": [past]}), params={"seed": 1})
scored = model.predict(pd.DataFrame({"x": [drawn["sample"][0]], "past": [past]}))
errors = []
for bad in ({"n": [1]}, {"n": [0], "past": [past]}, {"x": [[[0.0]]], "past": [past]}):
    try:
        model.predict(pd.DataFrame(bad))
    except Exception as error:
        errors.append(f"{type(error).__name__}: {error}")
ours = [module.__file__ for name, module in sys.modules.items() if name.startswith("genfoundry")]
print(json.dumps([drawn.to_dict("list"), drawn.equals(again), scored.to_dict("list"), errors, ours]))
"""


def test_the_champion_loads_where_genfoundry_is_not_installed(root: Path, tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    code = "import sys; sys.path = [p for p in sys.path if not p.endswith('src')]\n" + LOAD
    command = [sys.executable, "-c", code, tracking_client.get_tracking_uri(root)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    drawn, equal, scored, errors, where = json.loads(done.stdout.splitlines()[-1])
    assert drawn["row"] == [0, 0, 0]
    assert [len(sample) for sample in drawn["sample"]] == [5, 5, 5]
    assert equal
    assert scored.keys() == {"row", "nll", "nats"}
    assert scored["nats"][0] == pytest.approx(scored["nll"][0] / 5)
    assert [e.partition(":")[0] for e in errors] == ["RequestError"] * 3
    assert "past: none: expected shape (P, 1), P at least 4" in errors[0]
    assert where and not [name for name in where if f"{os.sep}src{os.sep}" in name]


def test_the_registered_model_holds_no_pickle_and_no_cache(root: Path) -> None:
    files = [p for p in (root / "mlartifacts").rglob("*") if p.is_file() and "model" in p.parts]
    assert files
    assert not [p for p in files if p.suffix in (".pkl", ".pickle", ".pyc", ".pt")]
    requirements = next(p for p in files if p.name == "requirements.txt").read_text()
    assert all("==" in line and "+" not in line for line in requirements.split())
