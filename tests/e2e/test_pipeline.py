"""The real pipeline, once, in a real repository: what comes out, what runs again, and that the bytes are the same."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from site_of import ROOT, call, change, clone, copy_repository, due, good, pipeline, ran

from genfoundry.console import shell
from genfoundry.selection import ledger, margins
from genfoundry.training import device
from pipeline.commands import golden
from pipeline.orchestration import integrity, libraries
from pipeline.orchestration.unit import Unit

pytestmark = pytest.mark.e2e


@pytest.fixture
def copy(smoke: Path, tmp_path: Path) -> Path:
    """The smoke repository with all its outs, to change at will."""
    return copy_repository(smoke, tmp_path / "copy")


def test_champions_are_registered(smoke: Path) -> None:
    lines = ledger.read_decisions(smoke / "ledger.jsonl")
    tasks = {"sunspots-forecast", "digits-density", "digits-samples", "digits-labels"}
    assert {line["task"] for line in lines} == tasks
    assert ledger.find_champion(lines, "sunspots-forecast")
    script = (
        "from pathlib import Path\nfrom genfoundry.tracking import client as store\n"
        "client = store.connect(Path('.'))\n"
        "print(client.get_model_version_by_alias('sunspots-forecast', 'champion').tags['model_digest'])"
    )
    said = good(call(sys.executable, "-c", script, root=smoke))
    assert ledger.find_champion(lines, "sunspots-forecast")["digest"] in said  # type: ignore[index]


def test_what_a_person_looks_at_is_there(smoke: Path) -> None:
    board = (smoke / "reports/leaderboard.md").read_text()
    assert "vae-digits" in board
    assert "persistence" in board
    card = json.loads((smoke / "reports/scores/digits/vae-digits/card.json").read_text())
    assert card["likelihood"] == "bound"
    assert card["figures"]["test"]["bits_per_dim"] > 0
    assert card["anchors"]["frechet_floor"] < card["anchors"]["frechet_ceiling"]
    headline = json.loads((smoke / "reports/evaluation/vae-digits.json").read_text())
    assert headline.keys() == {"objective", "val", "gate", "test", "low", "high"}
    assert headline["test"] == pytest.approx(card["figures"]["test"][headline["objective"]], rel=1e-4)
    lines = good(call("dvc", "metrics", "show", root=smoke)).splitlines()
    assert len([line for line in lines if "vae-digits" in line]) == 1 and max(map(len, lines)) <= 120
    for name in ("vae-digits", "dcgan-digits", "flow-digits", "vq-digits", "ss-digits", "linear-sunspots"):
        assert list((smoke / f"reports/panels/{name}").glob("*.png")), name
    assert list((smoke / "reports/tuning/vae-digits").glob("*.png"))


def test_the_site_is_there_beside_the_outs_and_in_mlflow(smoke: Path) -> None:
    pages = {p.relative_to(smoke / "reports").as_posix(): p.read_text() for p in (smoke / "reports").glob("*s/*.html")}
    assert {"datasets/digits.html", "models/vae-digits.html", "models/linear-sunspots.html"} <= pages.keys()
    assert "models/vae-digits.html" in pages["datasets/digits.html"]
    assert "Which is real?" in pages["datasets/digits.html"]
    assert 'training</dt><dd class="num">' in pages["models/vae-digits.html"]  # a measured cost
    assert ".html" not in good(call("git", "status", "--porcelain", "-uall", root=smoke))
    assert ".html" not in (smoke / "dvc.lock").read_text()
    attached = {path.name: path.read_text() for path in smoke.glob("mlartifacts/*/*/artifacts/report/*.html")}
    assert attached["vae-digits.html"] == pages["models/vae-digits.html"]


def test_a_copy_keeps_its_artifacts_in_the_copy(smoke: Path, copy: Path) -> None:
    with closing(sqlite3.connect(copy / "mlflow.db")) as store:
        content = "\n".join(store.iterdump())
    assert str(smoke) not in content
    assert (copy / "mlartifacts/digits-density").as_uri() in content


def test_another_seed_shows_the_spread(smoke: Path) -> None:
    own, other = (
        json.loads((smoke / "models/experiments/vae-digits" / part / "model.json").read_text())
        for part in ("", "seeds/1")
    )
    assert own["digest"] != other["digest"]
    assert own["config"] == other["config"]
    card = json.loads((smoke / "reports/scores/digits/vae-digits/card.json").read_text())
    assert card["seeds"]["n"] == 2
    assert card["seeds"]["values"]["bits_per_dim"][0] == card["figures"]["test"]["bits_per_dim"]
    assert card["seeds"]["spread"]["bits_per_dim"] > 0
    ranking = json.loads((smoke / "reports/ranking/digits-density.json").read_text())
    asked = margins.compute_seed_margin(card["seeds"]["val_spread"]["bits_per_dim"], 2)
    assert ranking["margin"] == max(0.005, asked)
    assert json.loads((smoke / ".state/costs.json").read_text())[own["digest"]]["train_seconds"] > 0


def test_no_out_names_a_time_a_host_or_a_path(smoke: Path) -> None:
    import socket

    outs = [*smoke.glob("models/**/*.json"), *smoke.glob("reports/**/*.json"), *smoke.glob("data/prepared/**/*.json")]
    assert len(outs) > 10
    for path in outs:
        text = path.read_text()
        assert str(smoke) not in text, path
        assert not re.search(rf"\b{re.escape(socket.gethostname())}\b", text), path


@pytest.mark.skipif(bool(device.lacking_features()), reason=f"portable arithmetic needs {device.lacking_features()}")
def test_the_outs_are_those_of_every_machine(smoke: Path) -> None:
    lines = golden.differences(json.loads((ROOT / golden.FILE).read_text()), golden.hash_outputs(smoke))
    assert not lines, "\n".join([*lines, *libraries.mismatches(ROOT)])


def test_nothing_to_do_runs_nothing_and_leaves_the_lock(copy: Path) -> None:
    before = (copy / "dvc.lock").read_bytes(), (copy / "ledger.jsonl").read_bytes()
    said = good(call("dvc", "repro", root=copy))
    assert "nothing to decide for" in said
    assert "Running stage 'train" not in said
    assert ((copy / "dvc.lock").read_bytes(), (copy / "ledger.jsonl").read_bytes()) == before


def test_dvc_shows_metrics_and_plots(copy: Path) -> None:
    assert "bits_per_dim" in good(call("dvc", "metrics", "show", root=copy))
    assert "file://" in good(call("dvc", "plots", "show", root=copy))


def test_a_second_clone_ends_with_the_same_lock(smoke: Path, tmp_path: Path) -> None:
    """The first ran stage by stage, the second has two jobs at once."""
    shell.ask("git", "clone", "-q", smoke, tmp_path / "second", root=tmp_path)
    shell.set_up_clone(smoke, tmp_path / "second")
    said = good(pipeline("repro", "--jobs", "2", root=tmp_path / "second"))
    assert "2 jobs at once" in said
    assert (tmp_path / "second/dvc.lock").read_bytes() == (smoke / "dvc.lock").read_bytes()


def test_a_tuning_past_its_minutes_keeps_its_finished_trials(copy: Path) -> None:
    """It fails and leaves the outs alone; without the limit it goes on from the first trial to the same bytes."""
    folder, path = copy / "reports/tuning/vae-digits", "build/plan/train/vae-digits.json"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    unit = Unit.read(copy / path)
    log = integrity.state_folder(unit, integrity.combine(integrity.hash_inputs(unit, copy)), copy) / "trials.jsonl"
    log.parent.mkdir(parents=True)
    first = before["trials.jsonl"].splitlines(keepends=True)[0]
    log.write_bytes(first)
    params = (copy / "params.yaml").read_text()
    (copy / "params.yaml").write_text(f"{params}max_minutes: {{vae-digits: 1.0e-6}}\n")
    good(pipeline("plan", root=copy))
    assert Unit.read(copy / path) == unit, "a limit is no part of any result"
    done = pipeline("train", path, root=copy)
    assert done.returncode == 1
    assert "max_minutes.vae-digits: 1e-06 reached in a trial at step " in done.stderr.splitlines()[-1]
    assert "finished trials are kept, raise max_minutes and run again to go on" in done.stderr.splitlines()[-1]
    assert log.read_bytes() == first
    (copy / "params.yaml").write_text(params)
    good(pipeline("plan", root=copy))
    shutil.rmtree(folder)
    good(pipeline("train", path, root=copy))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert not log.parent.exists()


def test_an_edit_is_due_where_it_counts_and_nowhere_else(copy: Path) -> None:
    """DVC's own reckoning, after the plan; the whole table is in tests/orchestration."""
    (copy / "src/genfoundry/training/loop.py").open("a").write("# edited\n")
    (copy / "src/genfoundry/tracking/live.py").open("a").write("EDITED = 1\n")
    assert due(copy) == set()
    (copy / "src/genfoundry/models/vae.py").open("a").write("EDITED = 1\n")
    assert due(copy) == {"train@vae-digits", "evaluate@vae-digits"}
    change(copy, "experiments@dcgan-digits@train@batch", 16)
    assert due(copy) == {"train@vae-digits", "evaluate@vae-digits", "train@dcgan-digits"}


def test_corrupt_data_stop_all_that_depend_on_them(copy: Path) -> None:
    """Raw data that break expectations: one line a failure, exit status, and no stage after validate."""
    import gzip

    rows = gzip.decompress((copy / "data/raw/digits/digits.csv.gz").read_bytes()).decode().splitlines()
    own = copy / "own"
    own.mkdir()
    constant = ",".join(["7"] * 64 + ["3"])
    (own / "digits.csv").write_text("\n".join([*rows[:1000], constant]) + "\n")
    change(copy, "datasets@digits@raw", {"path": "own"})
    (copy / ".state/times.jsonl").unlink()
    done = pipeline("repro", root=copy)
    assert done.returncode == 1
    said = done.stdout + done.stderr
    assert "constant" in said
    assert "rows in train" in said
    assert "expected" in said
    assert "observed" in said
    assert "reports/validation/digits" in said
    assert "Traceback" not in said
    assert not [s for s in ran(copy) if s.endswith("digits") and s.split("@")[0] not in ("fetch", "prepare")]
    assert not (copy / "reports/validation/digits.json").exists()


def test_mlproject_runs_the_main_entry(copy: Path) -> None:
    count = (
        "from pathlib import Path\nfrom genfoundry.tracking import client\nc = client.connect(Path('.'))\n"
        "print(sum(len(c.search_runs([e.experiment_id])) for e in c.search_experiments() if e.name != 'Default'))"
    )
    before = good(call(sys.executable, "-c", count, root=copy)).split()[-1]
    uri = f"sqlite:///{copy}/mlflow.db"
    good(call("mlflow", "run", ".", "--env-manager", "local", root=copy, MLFLOW_TRACKING_URI=uri))
    after = good(call(sys.executable, "-c", count, root=copy)).split()[-1]
    assert before == after
    assert int(after) >= 3
    entries = yaml.safe_load((copy / "MLproject").read_text())["entry_points"]
    stages = {name.partition("@")[0] for name in yaml.safe_load((copy / "dvc.yaml").read_text())["stages"]}
    assert set(entries) == stages | {"main", "plan"}
    good(
        call("mlflow", "run", ".", "-e", "validate", "-P", "dataset=digits", "--env-manager", "local",
             root=copy, MLFLOW_TRACKING_URI=uri)
    )  # fmt: skip


def test_push_and_pull_bring_the_outs_to_another_clone(copy: Path, tmp_path: Path) -> None:
    shell.commit(copy, "run", "dvc.lock", "ledger.jsonl", "reports")
    remote = tmp_path / "remote"
    (copy / ".dvc/config.local").write_text(f"['remote \"storage\"']\n    url = {remote}\n")
    good(call("dvc", "push", "-q", root=copy))
    other = clone(copy, tmp_path / "other", remote)
    good(call("dvc", "pull", "-q", "--allow-missing", root=other))
    assert (other / "models/experiments/vae-digits/weights.safetensors").exists()
    assert due(other) == set()


def test_a_fresh_clone_knows_what_is_stale_without_the_data(smoke: Path, copy: Path, tmp_path: Path) -> None:
    """From git alone: the plan's files and the inboxes against dvc.lock."""
    (copy / "data/inbox/digits").mkdir(exist_ok=True)
    shell.commit(copy, "run", "dvc.lock", "ledger.jsonl", "reports", "data/inbox")
    other = clone(copy, tmp_path / "other")
    look = "from pathlib import Path; from pipeline.orchestration import dvc_lock, unit; "
    look += "print(dvc_lock.find_stale(Path(), unit.read_all(Path())))"

    def stale() -> str:
        good(pipeline("plan", root=other))
        return good(call(sys.executable, "-c", look, root=other)).splitlines()[-1]

    assert stale() == "[]"
    change(other, "experiments@dcgan-digits@train@batch", 16)
    assert stale() == "['train@dcgan-digits']"
    (other / "data/inbox/sunspots/more.csv").write_text("YEAR,SUNACTIVITY\n2009,3.1\n")
    good(call("dvc", "add", "-q", "data/inbox/sunspots", root=other))
    assert stale() == "['prepare@sunspots', 'train@dcgan-digits']"


def test_files_of_a_persons_own_survive_plain_dvc(copy: Path, tmp_path: Path) -> None:
    """In the raw folder of an entry that names it, of one that names another place, and in an inbox."""
    mine = copy / "data/raw/mine"
    mine.mkdir()
    (mine / "a.csv").write_text("t,x\n" + "".join(f"{t},{t % 7}.5\n" for t in range(300)))
    shutil.copy(mine / "a.csv", tmp_path)
    params = yaml.safe_load((copy / "params.yaml").read_text())
    entry = params["datasets"]["sunspots"] | {"expect": {}}
    for path in ("data/raw/mine", str(tmp_path / "a.csv")):
        (mine / "notes.txt").write_text("my own")
        params["datasets"]["mine"] = entry | {"raw": {"path": path}}
        (copy / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
        (copy / "data/inbox/mine").mkdir(exist_ok=True)
        done = call("dvc", "repro", "fetch@mine", root=copy)
        assert done.returncode != 0
        assert "genfoundry" in done.stderr and "data/raw/mine" in done.stderr
        assert (mine / "a.csv").exists() and (mine / "notes.txt").exists()
    (mine / "notes.txt").unlink()
    (copy / "data/inbox/mine/b.csv").write_text("t,x\n300,1.5\n")
    good(call("dvc", "add", "-q", "data/inbox/mine", root=copy))
    good(call("dvc", "repro", "prepare@mine", root=copy))
    rows = lambda: sum(json.loads((copy / "data/prepared/mine/arrays/spec.json").read_text())["counts"].values())  # noqa: E731
    before = rows()
    (copy / "data/inbox/mine/b.csv").unlink()
    done = call("dvc", "repro", "prepare@mine", root=copy)
    assert done.returncode != 0
    assert "data/inbox/mine: files that DVC tracks are missing: b.csv" in done.stderr
    assert "to be trained again without them" in good(pipeline("withdraw", "--dataset", "mine", "b.csv", root=copy))
    with (tmp_path / "a.csv").open("a") as file:  # the source grows: plain DVC notices
        file.write("".join(f"{t},{t % 7}.5\n" for t in range(300, 360)))
    said = good(call("dvc", "repro", "prepare@mine", root=copy))
    assert f"mine: {tmp_path}/a.csv differs from the copy of 20" in said
    assert rows() > before
