"""What a model's page shows of its tuning."""

from __future__ import annotations

import json

from genfoundry import paths as paths_module
from genfoundry.evaluation.yardstick import FIGURES
from genfoundry.reporting.site import chart
from genfoundry.reporting.site.render import Picture, number, picture, setting
from genfoundry.reporting.site.results import Facts, Json, Model, there


def view(facts: Facts, model: Model) -> Json | None:
    """Trials, what the best gained over the default, and Optuna's pictures; None where nothing was searched."""
    folder = facts.root / paths_module.tuning(model.name)
    summary = there(folder / "summary.json")
    path = folder / "trials.jsonl"
    trials = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    if not trials:
        return None
    objective = str(summary.get("objective", "value"))
    overlay = there(folder / "overlay.json")
    complete = [t for t in trials if t["state"] == "COMPLETE" and t["value"] is not None]
    figure = FIGURES.get(objective)
    better = max if figure and figure.direction == "maximize" else min
    best: list[tuple[float, float]] = []
    for trial in complete:
        best.append((trial["number"], better([trial["value"], *(b for _, b in best[-1:])])))
    dots = [(t["number"], t["value"], _trial(t)) for t in trials if t["value"] is not None]
    history = chart.chart(
        f"{figure.title if figure else objective} by trial", best, x="trial", dots=dots, level=summary.get("default"),
        whole=True,
    )  # fmt: skip
    return {
        **{key: summary.get(key) for key in ("default", "best", "gain", "steps", "whole")},
        **{"title": figure.title if figure else objective, "trials": trials, "overlay": sorted(overlay.items())},
        "keys": sorted({key for t in trials for key in t["params"]}),
        "chosen": next((t["number"] for t in complete if t["value"] == summary.get("best")), None),
        "history": history,
        "pictures": _optuna(facts, model),
    }


def _trial(trial: Json) -> str:
    settings = ", ".join(f"{k} {setting(v)}" for k, v in trial["params"].items())
    return f"trial {trial['number']} ({trial['state'].lower()}): {number(trial['value'])}; {settings}"


def _optuna(facts: Facts, model: Model) -> list[Picture]:
    paths = sorted((facts.root / paths_module.tuning(model.name)).glob("*.png"))
    return [p for path in paths if (p := picture(path, path.stem.capitalize(), f"Optuna's plot: {path.stem}"))]
