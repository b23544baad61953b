"""Three retrainings from fresh clones that share an origin and a remote; then one with nothing to do."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import time
from pathlib import Path

import pytest
import yaml
from site_of import ROOT, call, clone, good, pipeline, ran

from genfoundry.console import shell
from genfoundry.selection import ledger
from pipeline.commands import smoke as smoke_stage

pytestmark = pytest.mark.e2e
KEPT, KEPT_TASKS = ("linear-sunspots", "vae-digits"), ("sunspots-forecast", "digits-density")


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """A bare origin whose data set `digits` is the first 1,400 digits; the rest arrive later."""
    work = smoke_stage.prepare(ROOT, tmp_path / "work")
    rows = gzip.decompress((_digits()).read_bytes()).splitlines(keepends=True)
    base = tmp_path / "base.csv"
    base.write_bytes(b"".join(rows[:1400]))
    (tmp_path / "good.csv").write_bytes(b"".join(rows[1400:]))
    (tmp_path / "bad.csv").write_bytes(b"".join([*rows[:3], b",".join([b"5"] * 64 + [b"1"]) + b"\n"]))
    params = yaml.safe_load((work / "params.yaml").read_text())
    files = [{"name": "base.csv", "sha256": hashlib.sha256(base.read_bytes()).hexdigest(), "places": [f"file:{base}"]}]
    params["datasets"]["digits"] |= {"raw": {"files": files}}
    del params["judges"]["digits"]
    params["datasets"]["digits"]["expect"]["rows"] = {"train": [800, 2000]}
    for kind, kept in (("tasks", KEPT_TASKS), ("experiments", KEPT)):
        params[kind] = {name: params[kind][name] for name in kept}
    params["experiments"]["vae-digits"] |= {"steps": {"smoke": 1500}, "seeds": 1}  # enough to beat every reference
    (work / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    shell.commit(work, "a base to retrain from", "params.yaml")
    shell.ask("git", "clone", "-q", "--bare", work, tmp_path / "origin.git", root=tmp_path)
    return tmp_path / "origin.git"


def _digits() -> Path:
    import importlib.util

    spec = importlib.util.find_spec("sklearn")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "datasets/data/digits.csv.gz"


def head(origin: Path) -> str:
    return shell.ask("git", "rev-parse", "HEAD", root=origin)


def test_the_scheduled_job(origin: Path, tmp_path: Path) -> None:
    remote = tmp_path / "remote"
    remote.mkdir()

    # 1. nothing is there: everything is trained, and the champions are registered and pushed
    first = clone(origin, tmp_path / "first", remote)
    good(pipeline("retrain", root=first))
    lines = ledger.read_decisions(first / "ledger.jsonl")
    champion = ledger.find_champion(lines, "digits-density")
    assert champion is not None, lines
    assert ledger.find_champion(lines, "sunspots-forecast") is not None
    assert shell.ask("git", "status", "--porcelain", "-uno", root=first) == ""
    assert "| digits-density | champion |" in (first / "reports/retrain.md").read_text()

    # 2. a good batch in another clone: only what depends on it runs, and the gate decides
    second = clone(origin, tmp_path / "second", remote)
    shutil.copy(tmp_path / "good.csv", second / "data/inbox/digits/batch-1.csv")
    was = head(origin)
    good(pipeline("retrain", root=second))
    assert head(origin) != was
    stages = set(ran(second))
    assert {"train@vae-digits", "evaluate@vae-digits", "rank", "register"} <= stages
    assert not {s for s in stages if "sunspots" in s}
    decided = ledger.filter_task(ledger.read_decisions(second / "ledger.jsonl"), "digits-density")
    assert len(decided) == 2
    assert decided[-1]["decision"] in ("champion", "challenger")
    assert decided[-1]["figures"]["interval"], "the present champion was measured again on today's gate"
    counts = json.loads((second / "data/prepared/digits/arrays/spec.json").read_text())["counts"]
    assert sum(counts.values()) == 1797

    # 3. a corrupt batch in a third: refused, the champion stays, only the ledger moves
    third = clone(origin, tmp_path / "third", remote)
    shutil.copy(tmp_path / "bad.csv", third / "data/inbox/digits/batch-2.csv")
    lock = (third / "dvc.lock").read_bytes()
    done = pipeline("retrain", root=third)
    assert done.returncode == 1
    assert "refused" in done.stderr
    assert "constant" in done.stderr
    assert "Traceback" not in done.stderr
    lines = ledger.read_decisions(third / "ledger.jsonl")
    assert lines[-1]["decision"] == "refused"
    assert ledger.find_champion(lines, "digits-density") == ledger.find_champion(decided, "digits-density")
    assert (third / "dvc.lock").read_bytes() == lock
    assert not [s for s in ran(third) if s.startswith("train")]
    pushed = shell.ask("git", "show", "HEAD:ledger.jsonl", root=origin)
    assert json.loads(pushed.splitlines()[-1])["decision"] == "refused"

    # 4. nothing new: it says so, quickly, and touches nothing
    fourth = clone(origin, tmp_path / "fourth", remote)
    was, began = head(origin), time.monotonic()
    assert "nothing is new" in good(pipeline("retrain", root=fourth))
    print(f"nothing new: {time.monotonic() - began:.1f} s")
    assert head(origin) == was
    good(call("git", "status", root=fourth))
