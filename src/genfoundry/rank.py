"""The ranking of a task's candidates on `val`: a pure function of what `evaluate` wrote, without torch or MLflow."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from genfoundry.checkpoint import read_json
from genfoundry.config import Task
from genfoundry.types import UserError

BEATEN = ("baseline", "ceiling")  # the roles of the trivial models that a champion must beat


def rank(task_name: str, task: Task, scores: Path, baselines: Path) -> dict[str, Any]:
    """The candidates of a task, best first, and the best trivial model: the content of reports/ranking/<task>.json.

    A candidate is any experiment under `scores` (reports/scores/<dataset>) whose data have the task's levels,
    binarisation and number of labels and whose figures on `val` include the objective. Equal figures rank by name.
    The margin is part of the ranking so that changing it reopens the decision; it is at least two standard
    deviations over the best one's training seeds, where these are known: less would promote a lucky seed.

    Raises:
        UserError: nothing to rank, or the candidates were measured on different data.
    """
    sign = 1.0 if task.direction == "minimize" else -1.0
    found = sorted(_candidates(task, scores), key=lambda c: (sign * c["value"], c["experiment"]))
    if not found:
        raise UserError(
            f"{scores}: no experiment for task {task_name}: none has levels {task.levels}, binarise {task.binarise}, "
            f"labels {task.labels} and a finite {task.objective} on val; add one under experiments: in params.yaml, or "
            "correct the task"
        )
    data = {candidate.pop("data") for candidate in found}
    if len(data) > 1:
        raise UserError(
            f"{scores}: measured on {len(data)} versions of {task.dataset}; run `dvc repro` for all of them"
        )
    supported, note = _support(found)
    return {
        "task": task_name,
        "objective": task.objective,
        "direction": task.direction,
        "margin": max(task.margin, 2 * (found[0]["spread"] or 0.0)),
        "supported": supported,
        "note": note,
        "split": "val",
        "data": data.pop(),
        "candidates": found,
        "baseline": best_trivial(baselines, task, "val"),
    }


def _candidates(task: Task, scores: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(scores.glob("*/card.json")):
        card = read_json(path)
        figures = card["figures"].get("val", {})
        value = figures.get(task.objective)
        same = (card["levels"], card["binarise"], card.get("labels")) == (task.levels, task.binarise, task.labels)
        if same and value is not None and math.isfinite(value):
            yield {
                **{key: card[key] for key in ("experiment", "model", "digest", "likelihood", "data")},
                "value": value,
                "stderr": figures.get(f"{task.objective}_stderr"),
                "spread": card.get("seeds", {}).get("val_spread", {}).get(task.objective),
            }


def _support(found: list[dict[str, Any]]) -> tuple[bool | None, str | None]:
    """Whether the first is ahead of the second by more than training seeds differ; why not, or why it is not known."""
    if len(found) < 2:
        return None, None
    (first, second), gap = found[:2], abs(found[0]["value"] - found[1]["value"])
    unknown = [one["experiment"] for one in (first, second) if one["spread"] is None]
    if unknown:
        return None, f"trained with one seed: {', '.join(unknown)}; how much a seed changes is not known"
    apart = 2 * math.hypot(first["spread"], second["spread"])
    if gap > apart:
        return True, None
    return False, (
        f"{first['experiment']} leads {second['experiment']} by {gap:.3g}, within two standard deviations over "
        f"training seeds ({apart:.3g})"
    )


def best_trivial(baselines: Path, task: Task, split: str) -> dict[str, Any] | None:
    """{"name", "value"} of the best trivial model on a split; None where no trivial model has the objective."""
    card = baselines / "card.json"
    rows = read_json(card)["rows"] if card.exists() else {}
    values = {
        name: row["figures"].get(split, {}).get(task.objective) for name, row in rows.items() if row["role"] in BEATEN
    }
    finite = {name: value for name, value in values.items() if value is not None and math.isfinite(value)}
    if not finite:
        return None
    name = (min if task.direction == "minimize" else max)(sorted(finite), key=lambda n: finite[n])
    return {"name": name, "value": finite[name]}
