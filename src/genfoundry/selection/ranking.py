"""The ranking of a task's candidates on `val`: a pure function of what `evaluate` wrote, without torch or MLflow."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from genfoundry.config import Task
from genfoundry.errors import UserError
from genfoundry.files import read_json
from genfoundry.selection import margins, references


def rank(
    task_name: str, task: Task, scores: Path, baselines: Path, experiments: Collection[str] | None = None
) -> dict[str, Any]:
    """The candidates of a task, best first, and what a champion must beat: the content of reports/ranking/<task>.json.

    A candidate is any of the `experiments` (None: any at all) under `scores` (reports/scores/<dataset>) whose data have
    the task's levels, binarisation and number of labels and whose figures on `val` include the objective. Equal figures
    rank by name. Margin and references are part of the ranking so that a change of either reopens the decision. The
    margin is the task's, or what the best one's training seeds ask for (`margins.compute_seed_margin`, "seed_margin")
    where that is more and where it was trained with two seeds or more.

    Raises:
        UserError: nothing to rank, or the candidates were measured on different data or in different features.
    """
    from genfoundry.evaluation.objectives import find_objective

    sign = 1.0 if task.direction == "minimize" else -1.0
    found = sorted(_candidates(task, scores, experiments), key=lambda c: (sign * c["value"], c["experiment"]))
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
    judges = {candidate.pop("judge") for candidate in found}
    if len(judges) > 1 and "judge" in find_objective(task.objective).requires.abilities:
        raise UserError(
            f"{scores}: measured in the features of {len(judges)} judges of {task.dataset}; run `dvc repro` for all of "
            "them, and remove the folders of experiments that params.yaml has no more"
        )
    supported, note = _support(found)
    first, rows = found[0], references.read_baseline_rows(baselines)
    seeded = None if first["spread"] is None else margins.compute_seed_margin(first["spread"], first["seeds"])
    return {
        "task": task_name,
        "objective": task.objective,
        "direction": task.direction,
        "margin": max(task.margin, seeded or 0.0),
        "seed_margin": seeded,
        "supported": supported,
        "note": note,
        "split": "val",
        "data": data.pop(),
        "candidates": found,
        "references": references.select_values(rows, task.objective, "val"),
    }


def _candidates(task: Task, scores: Path, experiments: Collection[str] | None) -> Iterator[dict[str, Any]]:
    for path in sorted(scores.glob("*/card.json")):
        if experiments is not None and path.parent.name not in experiments:
            continue
        card = read_json(path)
        figures = card["figures"].get("val", {})
        value = figures.get(task.objective)
        same = (card["levels"], card["binarise"], card.get("labels")) == (task.levels, task.binarise, task.labels)
        if same and value is not None and math.isfinite(value):
            seeds = card.get("seeds", {})
            fitted = 0.0 if card.get("steps") == 0 else None  # in closed form: every seed gives the same
            yield {
                **{key: card[key] for key in ("experiment", "model", "digest", "likelihood", "data")},
                "judge": (card.get("judge") or {}).get("digest"),
                "value": value,
                "stderr": figures.get(f"{task.objective}_stderr"),
                "seeds": seeds.get("n", 1),
                "spread": seeds.get("val_spread", {}).get(task.objective, fitted),
            }


def _support(found: list[dict[str, Any]]) -> tuple[bool | None, str | None]:
    """Whether the first is ahead of the second by more than training seeds differ; why not, or why it is not known."""
    first, second = found[0], found[1] if len(found) > 1 else None
    once = [one["experiment"] for one in found[:2] if one["spread"] is None]
    if once:
        return None, f"trained with one seed: {', '.join(once)}; this run does not bound a seed's luck"
    if second is None:
        return None, None
    gap = abs(first["value"] - second["value"])
    luck = margins.compute_seed_gap(first["spread"], second["spread"], (first["seeds"], second["seeds"]))
    if gap > luck:
        return True, None
    return False, (
        f"{first['experiment']} leads {second['experiment']} by {gap:.3g} on val, within what training seeds change "
        f"({luck:.3g}, 95%)"
    )
