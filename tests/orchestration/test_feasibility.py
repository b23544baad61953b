"""Settings that the data do not allow are said by the plan, not by the trial of a study that meets them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from genfoundry import config, paths
from genfoundry.data import preparation
from genfoundry.types import Spec
from pipeline.orchestration import feasibility, resolve

ROOT = Path(__file__).parents[2]
SERIES = {
    "modality": "series",
    "raw": {"path": "x"},
    "window": 4,
    "context": 24,
    "split": {"val": 0.2, "gate": 0.2, "test": 0.2},
}


def params(tmp_path: Path, search: dict[str, Any], hyper: dict[str, Any] | None = None, **more: Any) -> config.Params:
    own = yaml.safe_load((ROOT / "params.yaml").read_text())
    own |= {"datasets": {"mine": {**SERIES, **more}}, "judges": {}}
    own["tasks"] = {"mine-forecast": {"dataset": "mine", "objective": "mae"}}
    entry = {"dataset": "mine", "task": "mine-forecast", "model": "linear_ar", "hyper": hyper or {}, "search": search}
    own["experiments"] = {"linear-mine": entry}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(own))
    return resolve.load_params(tmp_path / "params.yaml")


def faults(own: config.Params, **more: Any) -> list[str]:
    one = resolve.resolve_experiment(own, "linear-mine", {})
    spec = more.pop("spec", None) or feasibility.predict_spec(one, own.datasets["mine"])
    return list(feasibility.find_faults(one, spec, **more))


def test_a_bound_above_the_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # nothing is prepared here
    own = params(tmp_path, {"hyper.order": {"low": 1, "high": 30}})
    where = "params.yaml: experiments.linear-mine.search.hyper.order: 30: "
    assert list(resolve.find_faults(own)) == [
        f"{where}hyper.order: expected at most the data set's context, 24 values, got 30"
    ]
    assert not list(resolve.find_faults(params(tmp_path, {"hyper.order": {"low": 1, "high": 24}})))
    (said,) = resolve.find_faults(params(tmp_path, {"hyper.order": {"choices": [2, 25, "aic"]}}, {"most": 24}))
    assert "search.hyper.order: 25: " in said
    (said,) = resolve.find_faults(params(tmp_path, {}, {"order": 25}))
    assert said.startswith(
        "params.yaml: experiments.linear-mine: hyper.order: expected at most the data set's context, 24 values, got 25"
    )


def test_rows_that_are_too_few(tmp_path: Path) -> None:
    own = params(tmp_path, {"hyper.order": {"low": 1, "high": 20}})
    assert not faults(own, rows=200)
    (said,) = faults(own, rows=30)
    assert (
        "search.hyper.order: 20: hyper.order: 30 values cannot fit an autoregression of order 20; 41 are needed" in said
    )


def test_bounds_that_fail_together(tmp_path: Path) -> None:
    search = {"hyper.order": {"low": 1, "high": 12}, "hyper.joint": {"choices": [False, True]}}
    spec = Spec((4, 3), None, cond_shape=(24, 3))
    assert not faults(params(tmp_path, search), rows=60, spec=spec)
    (said,) = faults(params(tmp_path, search), rows=40, spec=spec)
    assert "experiments.linear-mine.search: hyper.joint: True, hyper.order: 12 together: hyper.order: 40 values" in said


def test_the_rows_of_prepared_data_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    own = params(tmp_path, {"hyper.order": {"low": 1, "high": 20}})
    assert not list(resolve.find_faults(own))
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/x.csv").write_text("t,a\n" + "".join(f"{t},{t * t % 7}\n" for t in range(90)))
    preparation.prepare(
        tmp_path / "raw", tmp_path / "inbox", tmp_path / paths.prepared("mine"), own.datasets["mine"], 20
    )
    (said,) = resolve.find_faults(own)
    assert "36 values cannot fit an autoregression of order 20" in said


def test_the_projects_own_experiments_can_be_trained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert not list(resolve.find_faults(resolve.load_params(ROOT / "params.yaml")))


def test_weights_beyond_this_machines_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said without their memory being asked for: a plan would end in a traceback, or take it all."""
    monkeypatch.setattr(feasibility.cgroup, "memory", lambda: 10**9)
    text = {"modality": "text", "raw": {"path": "x"}, "alphabet": "\nab", "window": 8}
    own = yaml.safe_load((ROOT / "params.yaml").read_text())
    search = {"hyper.width": {"choices": [16, 300_000]}}
    entry = {"dataset": "mine", "task": "mine-density", "model": "char_rnn", "search": search}
    own |= {"datasets": {"mine": text}, "judges": {}, "experiments": {"linear-mine": entry}}
    own["tasks"] = {"mine-density": {"dataset": "mine", "objective": "nats_per_char"}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(own))
    (said,) = faults(resolve.load_params(tmp_path / "params.yaml"))
    assert said.endswith("search.hyper.width: 300000: weights of 360 GB; this machine has 1 GB")
