"""A champion of a commit of before the packages, 318c92d, is measured on today's gate by its own code."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import fabricated
import pytest
from fabricated import DATA, OBJECTIVE, TASK

from genfoundry import paths
from genfoundry.selection import champion_scores, ledger, promotion, weight_store

ROOT = Path(__file__).parents[2]
COMMIT = "318c92d"
TRAIN = f"""
import sys
from pathlib import Path
from genfoundry import checkpoint
from genfoundry.data.base import Dataset
from genfoundry.models.linear_ar import LinearAr
data = Dataset(Path(sys.argv[1]))
split = data.split("train")
model = LinearAr(split.spec, LinearAr.Config(order=1))
model.begin("fit", split)
card = {{"experiment": "old", "dataset": "{DATA}", "task": "{TASK}", "data": {{"levels": None, "binarise": None}}}}
print(checkpoint.save(Path(sys.argv[2]), model, card | {{"meta": {{"modality": "series"}}}}))
"""


def git(*words: str, root: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=False)


@pytest.mark.skipif(
    bool(git("cat-file", "-e", f"{COMMIT}^{{commit}}").returncode), reason="a clone without its history"
)
def test_a_champion_of_an_old_commit_is_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "repository"
    assert git("clone", "-q", "--shared", "--no-checkout", str(ROOT), str(root)).returncode == 0
    fabricated.prepare(root)
    source = champion_scores.extract_source(root, COMMIT, tmp_path / "then")
    folder, env = root / paths.model("old"), {**os.environ, "PYTHONPATH": str(source)}
    command = [sys.executable, "-c", TRAIN, str(root / paths.prepared(DATA)), str(folder)]
    digest = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.strip()
    monkeypatch.chdir(root)
    weights = weight_store.describe(folder, root)
    line = {
        "task": TASK,
        "decision": "champion",
        "experiment": "old",
        "digest": digest,
        "commit": COMMIT,
        "clean": True,
    }
    line |= dict.fromkeys(("time", "who", "reason", "data", "ranking"), "then")
    ledger.append_decision(root / paths.LEDGER, {**line, "weights": weights})
    weight_store.keep(root, weights)
    shutil.rmtree(folder)
    fabricated.train(root, "strong", 2)
    fabricated.register(root)
    assert promotion.promote(TASK, OBJECTIVE, root) == "champion"
    figures = ledger.read_decisions(root / paths.LEDGER)[-1]["figures"]
    assert figures["incumbent"]["nats"] > figures["candidate"]["nats"] > 0
    assert json.loads((root / paths.model("strong") / "model.json").read_text())["digest"] != digest
