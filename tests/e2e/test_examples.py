"""The example that needs a pipeline that has run: a champion is asked through MLflow."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from site_of import ROOT, call, good

from genfoundry.selection import ledger

pytestmark = pytest.mark.e2e
TASK = "sunspots-forecast"


def test_a_champion_is_asked_through_mlflow(smoke: Path) -> None:
    line = ledger.find_champion(ledger.read_decisions(smoke / "ledger.jsonl"), TASK)
    assert line is not None
    spec = json.loads((smoke / line["weights"]["path"] / "model.json").read_text())["spec"]
    row = {"n": 2, "past": [[50.0 + t] for t in range(spec["cond_shape"][0])]}
    said = good(call(sys.executable, ROOT / "examples/ask_champion.py", TASK, json.dumps(row), root=smoke))
    samples = [json.loads(line) for line in said.splitlines() if line.startswith("[")][-1]
    assert len(samples) == 2 and len(samples[0]["sample"]) == spec["shape"][0]


def test_a_champion_of_no_task_is_one_line() -> None:
    done = call(sys.executable, ROOT / "examples/ask_champion.py", root=ROOT)
    assert (done.returncode, done.stderr) == (1, "expected python ask_champion.py TASK [REQUEST], got no task\n")
