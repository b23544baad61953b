"""What the first page shows: a card a data set, its champions, and the latest decisions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from genfoundry import paths
from genfoundry.evaluation.yardstick import FIGURES
from genfoundry.reporting.site import panels
from genfoundry.reporting.site.render import Picture, Text, number
from genfoundry.reporting.site.results import Facts, Json

LATEST = 8  # decisions
LINES = 12  # of a text


@dataclass(frozen=True)
class Champion:
    """A task's champion and its figure; `model` None where it is no longer the model in the workspace.

    `lost`: the references that beat it on gate since it became the champion.
    """

    task: str
    experiment: str
    model: str | None
    figure: str
    lost: str


@dataclass(frozen=True)
class Card:
    """A data set in short. `open`: tasks without a champion, as `Facts.waiting` has them.

    `success` None: its validation left no verdict here.
    """

    name: str
    champions: list[Champion]
    open: list[tuple[str, str | None, str]]
    models: int
    success: bool | None
    modality: str
    panel: Picture | Text | None


def view(facts: Facts) -> dict[str, Any]:
    """The names in templates/index.html."""
    return {
        "cards": [_card(facts, name) for name in facts.datasets()],
        "decisions": facts.lines[: -LATEST - 1 : -1],
        "models": facts.models,
        "board": (facts.root / paths.LEADERBOARD[1]).exists(),
    }


def _card(facts: Facts, name: str) -> Card:
    champions = [
        Champion(
            task,
            str(line["experiment"]),
            model.name if model else None,
            _figure(facts, task, line),
            facts.champion_lost(task),
        )
        for task, line, model in facts.champions(name)
    ]
    verdict = facts.verdict(name)
    return Card(
        name,
        champions,
        list(facts.waiting(name)),
        len(facts.of(name)),
        verdict.get("success"),
        str(facts.prepared(name).get("modality", "")),
        _panel(facts, name),
    )


def _figure(facts: Facts, task: str, line: Json) -> str:
    """The champion's figure of the task on test; that on gate where the model is no longer here."""
    _, model = facts.champion(task) or (line, None)
    objective = facts.rankings.get(task, {}).get("objective")
    if model and objective in model.figures:
        return f"{FIGURES[objective].title} {number(model.figures[objective])}"
    found = (line.get("figures") or {}).get("candidate") or {}
    return ", ".join(f"{FIGURES[k].title if k in FIGURES else k} {number(v)} on gate" for k, v in found.items())


def _panel(facts: Facts, name: str) -> Picture | Text | None:
    """A champion's samples or forecasts, else those of any model."""
    champions = [model for _, _, model in facts.champions(name) if model]
    models = sorted(champions, key=lambda m: m.figures.get("frechet", math.inf)) + facts.of(name)
    for model in models:
        for kind in ("samples", "forecast"):
            found = panels.panel(facts.root / paths.panels(model.name), kind, title=model.name)
            if isinstance(found, Text):
                return Text(found.title, found.says, "\n".join(found.text.splitlines()[:LINES]))
            if found:
                return found
    return None
