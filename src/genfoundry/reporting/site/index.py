"""The index: a card per data set with its champions, and the latest promotion decisions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from genfoundry import paths
from genfoundry.reporting.metric_info import METRICS
from genfoundry.reporting.site.covers import cover
from genfoundry.reporting.site.rendering import number
from genfoundry.reporting.site.results import Json, ModelResult, Results

MAX_DECISIONS = 8


def view(results: Results) -> dict[str, Any]:
    """The variables of templates/index.html."""
    cards = [
        {
            **{"name": name, "tasks": list(_tasks(results, name)), "models": len(results.models_of(name))},
            "valid": results.validation(name).get("success"),
            "modality": str(results.spec(name).get("modality", "")),
            "cover": cover(results, name),
        }
        for name in results.datasets()
    ]
    return {
        **{"cards": cards, "models": results.models},
        "decisions": results.decisions[: -MAX_DECISIONS - 1 : -1],
        "board": (results.root / paths.LEADERBOARD[1]).exists(),
    }


def _tasks(results: Results, dataset: str) -> Iterator[Json]:
    """Each task with its champion, or its best candidate; "lost" names references that beat the model on gate.

    "model" has a page; it is None where the champion is no longer the model in the workspace.
    """
    for task, line, model in results.champions(dataset):
        about = {"champion": line["experiment"], "metric": _metric(results.objective(task), line, model)}
        yield {"name": task, "model": model and model.name, "lost": results.champion_lost(task), **about}
    for task, best, lost in results.without_champion(dataset):
        yield {"name": task, "model": best, "lost": lost, "champion": None}


def _metric(objective: str | None, line: Json, model: ModelResult | None) -> str:
    """A champion's objective on test; that on gate at the decision where the model left the workspace."""
    if model and objective and objective in model.metrics:
        return f"{METRICS[objective].title} {number(model.metrics[objective])}"
    values = (line.get("figures") or {}).get("candidate") or {}
    return ", ".join(f"{METRICS[k].title if k in METRICS else k} {number(v)} on gate" for k, v in values.items())
