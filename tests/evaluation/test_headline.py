"""What DVC shows of an experiment: its objective alone, for all experiments in one table that fits a terminal."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import yaml
from dvc_toy import dvc

from genfoundry import files
from genfoundry.evaluation.card import write_headline

ROOT = Path(__file__).parents[2]
WIDTH = 120


def test_unknown_metrics_are_absent(tmp_path: Path) -> None:
    per_split = {
        "val": {"mae": 1.23456789, "nats": 7.0},
        "gate": {"mae": -0.000012345678},
        "test": {"mae_low": 1234567.0},
    }
    write_headline(tmp_path / "mae.json", "mae", per_split)
    assert files.read_json(tmp_path / "mae.json") == {
        "objective": "mae", "val": 1.2346, "gate": -1.2346e-05, "low": 1234600.0}  # fmt: skip


def test_a_table_of_all_experiments_fits(tmp_path: Path) -> None:
    """By DVC itself: the longest names that params.yaml has, and values that need every digit."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    names = list(params["experiments"])
    values = [12345.678912, 0.0123456789, 99.87654321, 1.0]
    for i, name in enumerate(names):
        value, objective = values[i % len(values)], params["tasks"][params["experiments"][name]["task"]]["objective"]
        per_split = {split: {objective: value} for split in ("val", "gate")}
        per_split["test"] = {objective: value, f"{objective}_low": value * 0.98765, f"{objective}_high": value * 1.0123}
        write_headline(tmp_path / f"reports/evaluation/{name}.json", objective, per_split)
    outs = [{f"reports/evaluation/{name}.json": {"cache": False}} for name in names]
    (tmp_path / "dvc.yaml").write_text(json.dumps({"stages": {"all": {"cmd": "true", "metrics": outs}}}))
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    dvc(tmp_path, "init", "-q")
    lines = dvc(tmp_path, "metrics", "show").splitlines()
    assert len(lines) == len(names) + 1
    assert lines[0].split() == ["Path", "gate", "high", "low", "objective", "test", "val"]
    assert max(map(len, lines)) <= WIDTH, max(lines, key=len)
