"""Ranking of a task's candidates on `val`: a pure function of what `evaluate` wrote, without torch or MLflow."""

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
    """Rank a task's candidates, best first: the content of reports/ranking/<task>.json, with what a champion must beat.

    A candidate is an experiment whose data have the task's levels, binarisation and number of labels and whose metrics
    on `val` include the objective. Equal values rank by name. Margin and references are part of the ranking, so that a
    change of either reopens the decision. The margin is the task's, or what the best candidate's training seeds ask for
    ("seed_margin", `margins.compute_seed_margin`) where that is more and it was trained with two seeds or more.

    Args:
        task_name: the task.
        task: its settings.
        scores: reports/scores/<dataset>, a folder an experiment.
        baselines: reports/baselines/<task>.
        experiments: the only ones to rank; None ranks all under `scores`.

    Raises:
        UserError: nothing to rank, or the candidates were measured on different data or in different features.
    """
    from genfoundry.evaluation.objectives import find_objective

    sign = 1.0 if task.direction == "minimize" else -1.0
    candidates = sorted(_find_candidates(task, scores, experiments), key=lambda c: (sign * c["value"], c["experiment"]))
    if not candidates:
        raise UserError(
            f"{scores}: no experiment for task {task_name}: none has levels {task.levels}, binarise {task.binarise}, "
            f"labels {task.labels} and a finite {task.objective} on val; add one under experiments: in params.yaml, or "
            "correct the task"
        )
    # After a failed run some experiments have scores on new data and others on old: these do not compare.
    data = {candidate.pop("data") for candidate in candidates}
    if len(data) > 1:
        raise UserError(
            f"{scores}: measured on {len(data)} versions of {task.dataset}; run `dvc repro` for all of them"
        )
    # Likelihoods do not depend on the feature network; only an objective of features needs the same one.
    judges = {candidate.pop("judge") for candidate in candidates}
    if len(judges) > 1 and "judge" in find_objective(task.objective).requires.abilities:
        raise UserError(
            f"{scores}: measured in the features of {len(judges)} judges of {task.dataset}; run `dvc repro` for all of "
            "them, and remove the folders of experiments that params.yaml has no more"
        )
    supported, note = _compare_first_two(candidates)
    best, rows = candidates[0], references.read_baseline_rows(baselines)
    seed_margin = None if best["spread"] is None else margins.compute_seed_margin(best["spread"], best["seeds"])
    return {
        "task": task_name,
        "objective": task.objective,
        "direction": task.direction,
        "margin": max(task.margin, seed_margin or 0.0),
        "seed_margin": seed_margin,
        "supported": supported,
        "note": note,
        "split": "val",
        "data": data.pop(),
        "candidates": candidates,
        "references": references.select_values(rows, task.objective, "val"),
    }


def _find_candidates(task: Task, scores: Path, experiments: Collection[str] | None) -> Iterator[dict[str, Any]]:
    for path in sorted(scores.glob("*/card.json")):
        if experiments is not None and path.parent.name not in experiments:
            continue
        card = read_json(path)
        metrics = card["figures"].get("val", {})
        value = metrics.get(task.objective)
        # Nats at other levels or binarisation are another quantity, and other labels another problem.
        same = (card["levels"], card["binarise"], card.get("labels")) == (task.levels, task.binarise, task.labels)
        if same and value is not None and math.isfinite(value):
            seeds = card.get("seeds", {})
            closed_form = 0.0 if card.get("steps") == 0 else None  # every seed gives the same
            yield {
                **{key: card[key] for key in ("experiment", "model", "digest", "likelihood", "data")},
                "judge": (card.get("judge") or {}).get("digest"),
                "value": value,
                "stderr": metrics.get(f"{task.objective}_stderr"),
                "seeds": seeds.get("n", 1),
                "spread": seeds.get("val_spread", {}).get(task.objective, closed_form),
            }


def _compare_first_two(candidates: list[dict[str, Any]]) -> tuple[bool | None, str | None]:
    """Whether the first leads the second by more than training seeds differ; the reason if not, or if unknown."""
    single_seed = [candidate["experiment"] for candidate in candidates[:2] if candidate["spread"] is None]
    if single_seed:
        return None, f"trained with one seed: {', '.join(single_seed)}; this run does not bound a seed's luck"
    if len(candidates) < 2:
        return None, None
    first, second = candidates[:2]
    gap = abs(first["value"] - second["value"])
    # Training noise, not the items' standard error: a ranking is about recipes, which another seed trains differently.
    by_chance = margins.compute_seed_gap(first["spread"], second["spread"], (first["seeds"], second["seeds"]))
    if gap > by_chance:
        return True, None
    return False, (
        f"{first['experiment']} leads {second['experiment']} by {gap:.3g} on val, within what training seeds change "
        f"({by_chance:.3g}, 95%)"
    )
