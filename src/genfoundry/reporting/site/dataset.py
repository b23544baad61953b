"""What the page of a data set shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from genfoundry import paths
from genfoundry.evaluation.yardstick import FIGURES
from genfoundry.reporting import leaderboard
from genfoundry.reporting.site import panels, rate_distortion, table
from genfoundry.reporting.site.render import Picture, Text, picture
from genfoundry.reporting.site.results import Facts, Json, Model, there
from genfoundry.selection import ledger
from genfoundry.splits import SPLITS

SIDE = 8  # images on a side of the game's sheets


@dataclass(frozen=True)
class Game:
    """Which is real? `why` says how the model whose images play was chosen."""

    model: str
    why: str
    generated: Picture
    real: Picture


@dataclass(frozen=True)
class Shown:
    """A panel in a gallery, and the experiment whose page has more; None for real items and trivial models."""

    panel: Picture | Text
    model: str | None


def view(facts: Facts, name: str) -> dict[str, Any]:
    """The names in templates/dataset.html."""
    tables = [table.table(one) for one in facts.board["tables"] if one["dataset"] == name]
    prepared = facts.prepared(name)
    return {
        "name": name,
        "about": list(_about(prepared)),
        "digest": prepared.get("digest") or next((m.card["data"] for m in facts.of(name)), None),
        "models": facts.of(name),
        "champions": list(facts.champions(name)),
        "beaten": {task: facts.champion_lost(task) for task in facts.tasks(name)},
        "waiting": list(facts.waiting(name)),
        "tables": tables,
        "gallery": list(_gallery(facts, name)),
        "planes": rate_distortion.planes(facts, name),
        "trivial": list(_trivial(facts, name)),
        "restorations": [Shown(p, m.name) for m in facts.of(name) for p in panels.restored(_panels(facts, m))],
        "game": game(facts, name),
        "judge": _judge(facts, name),
        "verdict": facts.verdict(name),
        "docs": (facts.root / paths.docs(name) / "index.html").exists(),
        "decisions": [line for task in facts.tasks(name) for line in ledger.filter_task(facts.lines, task)][::-1],
        "scripts": ("sort.js", "game.js"),
        "side": SIDE,
        "points": leaderboard.points,
        "intervals": leaderboard.INTERVALS,
    }


def _about(prepared: Json) -> Iterator[tuple[str, str]]:
    """A line a fact about the prepared data."""
    if not prepared:
        return
    spec = prepared["spec"]
    yield "modality", str(prepared["modality"])
    yield "one item", " \N{MULTIPLICATION SIGN} ".join(map(str, spec["shape"]))
    if spec.get("levels"):
        yield "levels", f"{spec['levels']:,}"
    if spec.get("classes"):
        yield "classes", f"{spec['classes']:,}"
    yield "items", _counts(prepared["counts"])
    if groups := prepared.get("groups"):
        yield "independent groups", _counts(groups)


def _counts(of: Json) -> str:
    return ", ".join(f"{split} {of[split]:,}" for split in SPLITS if split in of)


def _panels(facts: Facts, model: Model) -> Any:
    return facts.root / paths.panels(model.name)


def _gallery(facts: Facts, name: str) -> Iterator[Shown]:
    """Real items first, then every model's samples or forecasts."""
    if real := _real(facts, name):
        yield Shown(real, None)
    for model in facts.of(name):
        for kind in ("samples", "forecast"):
            if found := panels.panel(_panels(facts, model), kind, title=model.name):
                yield Shown(found, model.name)


def _real(facts: Facts, name: str) -> Picture | Text | None:
    for task in facts.tasks(name):
        folder = facts.root / paths.baselines(task)
        if found := panels.panel(folder, "real-against-real", "Real items", "what the data look like"):
            return found
    return None


def _trivial(facts: Facts, name: str) -> Iterator[Shown]:
    """Samples of the trivial models, each once though tasks on the same data have the same ones."""
    seen = {"real-against-real"}
    for task in facts.tasks(name):
        folder = facts.root / paths.baselines(task)
        for row, content in facts.trivial.get(task, {}).get("rows", {}).items():
            if row not in seen and (found := panels.panel(folder, row, row, f"a {content['role']}")):
                seen.add(row)
                yield Shown(found, None)


def game(facts: Facts, name: str) -> Game | None:
    """The game with the champion whose samples are best; without one, with the best-ranked model that has images."""
    frechet = FIGURES["frechet"].name
    champions = [(task, model) for task, _, model in facts.champions(name) if model]
    champions.sort(key=lambda one: one[1].figures.get(frechet, float("inf")))
    candidates = [(f"the champion of {task}", model) for task, model in champions]
    ranked = sorted(facts.ranked(name), key=lambda one: facts.rankings[one[0]]["objective"] != frechet)
    candidates += [(f"the best-ranked model of {task}", model) for task, model in ranked]
    for why, model in candidates:
        folder = _panels(facts, model)
        sheets = [picture(folder / f"{tiles}.png", tiles, tiles) for tiles in panels.TILES]
        if sheets[0] and sheets[1]:
            return Game(model.name, why, sheets[0], sheets[1])
    return None


def _judge(facts: Facts, name: str) -> Json | None:
    """What the judge is; None where there is none."""
    stated = next((m.card["judge"] for m in facts.of(name) if m.card.get("judge")), None)
    card = there(facts.root / paths.judge(name) / "model.json")
    if "digest" not in card and stated is None:
        return None
    whole = card if "digest" in card else {}
    accuracy = dict(whole.get("accuracy") or {})
    if stated and stated.get("accuracy") is not None:
        accuracy.setdefault("test", stated["accuracy"])
    return {
        "kind": (stated or {}).get("kind", "classes"),
        "digest": (stated or whole)["digest"],
        "model": whole.get("model"),
        "features": (whole.get("config") or {}).get("features"),
        "accuracy": sorted(pair for pair in accuracy.items() if pair[1] is not None),  # None: a split without labels
    }
