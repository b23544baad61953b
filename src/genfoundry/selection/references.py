"""The references that a champion must beat: every baseline of its task's table.

Two rows are exempt: the "floor" (real items against real ones), which nothing can beat, and the "copy" of the training
set, which nothing should. A row without the objective's value is skipped: a compressor without a value an item, a
supervised method that gives no samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genfoundry.files import read_json

if TYPE_CHECKING:
    from genfoundry.config import Task

EXEMPT = ("floor", "copy")  # roles of rows that need not be beaten
Loss = dict[str, Any]  # {"name", "role", "value", "by"}


def read_baseline_rows(baselines: Path) -> dict[str, Any]:
    """Name -> row of reports/baselines/<task>/card.json; {} where a task has no table."""
    card = baselines / "card.json"
    return dict(read_json(card)["rows"]) if card.exists() else {}


def select_values(rows: Mapping[str, Any], objective: str, split: str) -> dict[str, float]:
    """Name -> the objective on a split, of every reference that has a finite value there."""
    values = {
        name: row["figures"].get(split, {}).get(objective)
        for name, row in sorted(rows.items())
        if row["role"] not in EXEMPT
    }
    return {name: value for name, value in values.items() if value is not None and math.isfinite(value)}


def find_hardest(rows: Mapping[str, Any], task: Task, split: str) -> dict[str, Any] | None:
    """{"name", "value"} of the reference that is hardest to beat on a split; None where none has the objective."""
    values = select_values(rows, task.objective, split)
    if not values:
        return None
    name = (min if task.direction == "minimize" else max)(values, key=values.__getitem__)
    return {"name": name, "value": values[name]}


def find_losses(rows: Mapping[str, Any], objective: str, direction: str, value: float, split: str) -> list[Loss]:
    """The references that a model with this value does not beat, hardest first; `by` is what it lacks, 0 or more."""
    sign = 1.0 if direction == "minimize" else -1.0
    losses = [
        {"name": name, "role": rows[name]["role"], "value": reference, "by": sign * (value - reference)}
        for name, reference in select_values(rows, objective, split).items()
        # A tie is a loss: a champion has to be better than what is trivial.
        if sign * (value - reference) >= 0
    ]
    return sorted(losses, key=lambda loss: (-loss["by"], loss["name"]))


def find_gate_losses(rows: Mapping[str, Any], objective: str, metrics: Mapping[str, Mapping[str, float]]) -> list[Loss]:
    """`find_losses` on gate of a model with these metrics a split; [] where it lacks the objective there."""
    from genfoundry.evaluation.objectives import find_objective

    value = metrics.get("gate", {}).get(objective)
    if value is None:
        return []
    return find_losses(rows, objective, find_objective(objective).direction, value, "gate")


def sort_names(losses: Iterable[Loss]) -> list[str]:
    """The names of the references, in alphabetical order."""
    return sorted(loss["name"] for loss in losses)


def describe_losses(losses: Iterable[Loss]) -> str:
    """Losses in words: "5-gram (1.622, by 0.019), xz (1.63, by 0.011)"."""
    return ", ".join(f"{loss['name']} ({loss['value']:.5g}, by {loss['by']:.3g})" for loss in losses)
