"""The index: a card per data set with its champions, and the latest promotion decisions."""

from __future__ import annotations

from typing import Any

from genfoundry import paths
from genfoundry.reporting.metric_info import METRICS
from genfoundry.reporting.site.covers import cover
from genfoundry.reporting.site.rendering import number
from genfoundry.reporting.site.results import Json, Results

MAX_DECISIONS = 8


def view(results: Results) -> dict[str, Any]:
    """The variables of templates/index.html."""
    return {
        "cards": [
            {
                **{"name": name, "cover": cover(results, name), "models": len(results.models_of(name))},
                "tasks": [{**status, "metric": _metric(results, status)} for status in results.statuses(name)],
                "valid": results.validation(name).get("success"),
                "modality": str(results.spec(name).get("modality", "")),
            }
            for name in results.datasets()
        ],
        "models": results.models,
        "decisions": results.decisions[: -MAX_DECISIONS - 1 : -1],
        "board": (results.root / paths.LEADERBOARD[1]).exists(),
    }


def _metric(results: Results, status: Json) -> str:
    """A champion's objective on test; that on gate at the decision where the model left the workspace."""
    objective, model = results.objective(status["task"]), status["model"]
    if model and objective and objective in model.metrics:
        return f"{METRICS[objective].title} {number(model.metrics[objective])}"
    # The ledger keeps the value of the decision, whatever became of the workspace.
    values = ((status["decision"] or {}).get("figures") or {}).get("candidate") or {}
    return ", ".join(f"{METRICS[k].title if k in METRICS else k} {number(v)} on gate" for k, v in values.items())
