"""The hyperparameter search of a model: its trials, their history, and what the best one gained over the default."""

from __future__ import annotations

import json

from genfoundry import paths
from genfoundry.reporting.metric_info import METRICS
from genfoundry.reporting.site.charts import chart
from genfoundry.reporting.site.rendering import number, picture, setting
from genfoundry.reporting.site.results import Json, ModelResult, Results, read_optional


def view(results: Results, model: ModelResult) -> Json | None:
    """What templates/model.html shows of a search; None where there was none."""
    folder = results.root / paths.tuning(model.name)
    path = folder / "trials.jsonl"
    trials = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    if not trials:
        return None
    summary = read_optional(folder / "summary.json")
    objective = str(summary.get("objective", "value"))
    metric = METRICS.get(objective)
    title = metric.title if metric else objective
    better = max if metric and metric.direction == "maximize" else min
    # The value of a pruned trial is of a shorter training, and does not compare.
    complete = [t for t in trials if t["state"] == "COMPLETE" and t["value"] is not None]
    best: list[tuple[float, float]] = []
    for trial in complete:
        best.append((trial["number"], better([trial["value"], *(value for _, value in best[-1:])])))
    dots = [(t["number"], t["value"], _describe(t)) for t in trials if t["value"] is not None]
    history = chart(f"{title} by trial", {"best": best}, x="trial", dots=dots, level=summary.get("default"))
    pictures = [picture(p, p.stem.capitalize(), f"Optuna's plot: {p.stem}") for p in sorted(folder.glob("*.png"))]
    return {
        **{key: summary.get(key) for key in ("default", "best", "gain", "steps", "whole")},
        **{"title": title, "trials": trials, "overlay": sorted(read_optional(folder / "overlay.json").items())},
        "parameters": sorted({key for t in trials for key in t["params"]}),
        "best_trial": next((t["number"] for t in complete if t["value"] == summary.get("best")), None),
        "history": history,
        "pictures": pictures,
    }


def _describe(trial: Json) -> str:
    settings = ", ".join(f"{key} {setting(value)}" for key, value in trial["params"].items())
    return f"trial {trial['number']} ({trial['state'].lower()}): {number(trial['value'])}; {settings}"
