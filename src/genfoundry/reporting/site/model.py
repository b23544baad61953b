"""The page of a model: metrics, panels, training curves, hyperparameter search, costs, provenance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from genfoundry import paths
from genfoundry.reporting import leaderboard
from genfoundry.reporting.site import charts, metric_rows, panels, tuning
from genfoundry.reporting.site.rendering import duration, number, size
from genfoundry.reporting.site.results import Json, ModelResult, Results
from genfoundry.tracking.outputs import ModelOutputs

COSTS: Mapping[str, tuple[str, Callable[[Any], str]]] = {  # key of the cost log -> title, format
    "parameters": ("parameters", number),
    "train_seconds": ("training", duration),
    "train_items_per_second": ("training items per second", number),
    "samples_per_second": ("samples per second", number),
    "evaluate_seconds": ("evaluation", duration),
    "peak_memory_bytes": ("peak memory", size),
    "device": ("device", str),
}
MADE_WITH = ("device", "precision", "threads", "arithmetic")  # of model.json
NOT_MEASURED = "not measured on this machine"


def view(results: Results, name: str) -> dict[str, Any]:
    """The variables of templates/model.html."""
    model = results.models[name]
    groups, missing = metric_rows.groups(results, model)
    leads = {task: ranking for task, ranking in results.rankings.items() if _leads(ranking, model)}
    curves = results.root / paths.curves(name)
    return {
        "model": model,
        "champion_of": [task for task, _, champion in results.champions(model.dataset) if champion is model],
        "best_of": list(leads),
        "lost": {task: results.lost_references(task, model) for task in results.dataset_of_task | results.rankings},
        "notes": [f"{task}: {ranking['note']}" for task, ranking in leads.items() if ranking.get("note")],
        "groups": groups,
        "missing": missing,
        "n": model.metrics.get("n"),
        "frechet_n": model.metrics.get("frechet_n"),
        "panels": panels.panels(results.root / paths.panels(name)),
        "curves": charts.training_curves(curves),
        "has_curves": curves.exists(),
        "tuning": tuning.view(results, model),
        "costs": list(_costs(results, model)),
        "provenance": _provenance(results, model),
        # Without a checkpoint, model.json is absent or describes a later training of this experiment.
        "settings": sorted(ModelOutputs(results.root, name).params().items()) if model.checkpoint else [],
        "scripts": ("sort.js",),
        "intervals": leaderboard.INTERVALS,
    }


def _leads(ranking: Json, model: ModelResult) -> bool:
    best = ranking["candidates"][0] if ranking["candidates"] else {}
    return (best.get("experiment"), best.get("digest")) == (model.name, model.digest)


def _costs(results: Results, model: ModelResult) -> Iterator[tuple[str, str]]:
    """(title, value) of what the model cost on this machine."""
    costs = results.costs.get(model.digest, {})
    for key, (title, words) in COSTS.items():
        yield title, words(costs[key]) if key in costs else NOT_MEASURED


def _provenance(results: Results, model: ModelResult) -> Json:
    """Commit, digests, and the command that rebuilds the model."""
    line = next((x for x in reversed(results.decisions) if x["digest"] == model.digest and x.get("commit")), None)
    # The decision names the commit that made the model; of a model never decided about, today's is the best guess.
    commit, clean = (line["commit"], bool(line.get("clean"))) if line else results.head
    judge = model.card.get("judge")
    return {
        **{"commit": commit, "clean": clean, "decided": line is not None},
        "digests": [
            ("data", model.card["data"]),
            ("judge", judge["digest"] if judge else None),
            ("model", model.digest),
            ("weights (sha256)", model.checkpoint.get("digests", {}).get("weights")),
        ],
        "rebuild": [f"git checkout {commit}"] * bool(commit) + [f"dvc repro evaluate@{model.name}"],
        "made": [(k, v) for k, v in model.checkpoint.items() if k in MADE_WITH],
    }
