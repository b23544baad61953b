"""The ranking is a pure function of the cards."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from genfoundry.checkpoint import write_json
from genfoundry.config import Task
from genfoundry.rank import best_trivial, rank
from genfoundry.types import UserError

TASK = Task(dataset="d", levels=16, objective="bits_per_dim", margin=0.01)


def card(folder: Path, name: str, value: float | None, **more: Any) -> None:
    figures = {} if value is None else {"bits_per_dim": value, "bits_per_dim_stderr": 0.1}
    about = {"experiment": name, "model": "m", "digest": f"digest-{name}", "likelihood": "exact", "data": "D"}
    write_json(
        folder / name / "card.json", {**about, "levels": 16, "binarise": None, "figures": {"val": figures}, **more}
    )


def test_the_best_is_first_and_equals_go_by_name(tmp_path: Path) -> None:
    for name, value in {"b": 2.0, "a": 2.0, "c": 1.0}.items():
        card(tmp_path, name, value)
    card(tmp_path, "no-likelihood", None)
    card(tmp_path, "binary", 0.1, levels=2, binarise="dynamic")
    found = rank("t", TASK, tmp_path, tmp_path / "none")
    assert [c["experiment"] for c in found["candidates"]] == ["c", "a", "b"]
    assert found["candidates"][0] == {
        "experiment": "c", "model": "m", "digest": "digest-c", "likelihood": "exact", "value": 1.0, "stderr": 0.1,
    }  # fmt: skip
    assert (found["data"], found["split"], found["margin"], found["baseline"]) == ("D", "val", 0.01, None)
    upward = TASK.model_copy(update={"direction": "maximize"})
    assert [c["experiment"] for c in rank("t", upward, tmp_path, tmp_path / "none")["candidates"]] == ["a", "b", "c"]


def test_nothing_to_rank_says_what_is_missing(tmp_path: Path) -> None:
    card(tmp_path, "binary", 0.1, levels=2)
    with pytest.raises(UserError, match="no experiment for task t: none has levels 16"):
        rank("t", TASK, tmp_path, tmp_path)


def test_candidates_of_different_data_are_not_compared(tmp_path: Path) -> None:
    card(tmp_path, "a", 1.0)
    card(tmp_path, "b", 1.0, data="E")
    with pytest.raises(UserError, match="2 versions of d"):
        rank("t", TASK, tmp_path, tmp_path)


def test_the_best_trivial_model_is_a_baseline_or_the_ceiling(tmp_path: Path) -> None:
    rows = {
        name: {"role": role, "figures": {"val": {"bits_per_dim": value}}}
        for name, role, value in [("pixels", "baseline", 3.0), ("mean", "ceiling", 4.0), ("png", "compressor", 1.0)]
    }
    rows["other"] = {"role": "baseline", "figures": {"val": {"frechet": 0.0}}}
    write_json(tmp_path / "card.json", {"rows": rows})
    assert best_trivial(tmp_path, TASK, "val") == {"name": "pixels", "value": 3.0}
    assert best_trivial(tmp_path, TASK, "gate") is None


def test_ranking_needs_no_torch() -> None:
    code = "import sys, genfoundry.rank, genfoundry.promote, genfoundry.metrics; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
