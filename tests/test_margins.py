"""A task's margin is at least two standard deviations over training seeds, as they were measured at `quick`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from genfoundry import experiment

ROOT = Path(__file__).parent.parent
MEASURED = json.loads((ROOT / "bench/spread.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", experiment.settings(ROOT / "params.yaml").experiments)
def test_a_margin_is_above_what_seeds_change(name: str) -> None:
    params = experiment.settings(ROOT / "params.yaml")
    task = params.tasks[params.experiments[name].task]
    figures = MEASURED[name]
    assert len(figures[task.objective]) >= 3
    mean = sum(figures[task.objective]) / len(figures[task.objective])
    spread = (sum((x - mean) ** 2 for x in figures[task.objective]) / (len(figures[task.objective]) - 1)) ** 0.5
    assert task.margin >= 2 * spread
