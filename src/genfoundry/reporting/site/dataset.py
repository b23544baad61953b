"""The page of a data set: leaderboard, samples side by side, a game, the feature network, validation, decisions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from genfoundry import paths
from genfoundry.reporting import leaderboard
from genfoundry.reporting.site import panels, rate_distortion, table
from genfoundry.reporting.site.covers import real_items
from genfoundry.reporting.site.rendering import Panel, picture
from genfoundry.reporting.site.results import Json, Results, read_optional
from genfoundry.selection import ledger
from genfoundry.splits import SPLITS

SIDE = 8  # images on a side of the game's sheets


GalleryItem = tuple[Panel, str | None]  # and the model whose page it links to, if any


def view(results: Results, name: str) -> dict[str, Any]:
    """The variables of templates/dataset.html."""
    spec, models, tasks = results.spec(name), results.models_of(name), results.tasks(name)
    objectives = [objective for task in tasks if (objective := results.objective(task))]
    tables = [t for t in results.board["tables"] if t["dataset"] == name]
    tables.sort(key=lambda t: bool(t["binarise"]))  # the data as they are come first
    return {
        "name": name,
        "about": list(describe(spec)),
        "digest": spec.get("digest") or next((m.card["data"] for m in models), None),
        "models": models,
        "statuses": list(results.statuses(name)),
        "tables": [table.layout(t, objectives) for t in tables],
        "gallery": list(_gallery(results, name)),
        "planes": list(rate_distortion.planes(results, name)),
        "reference_samples": list(_reference_samples(results, name)),
        "restorations": [
            (panel, m.name) for m in models for panel in panels.restored(results.root / paths.panels(m.name))
        ],
        "game": _game(results, name),
        "judge": _judge(results, name),
        "validation": results.validation(name),
        "docs": (results.root / paths.docs(name) / "index.html").exists(),
        "decisions": [line for task in tasks for line in ledger.filter_task(results.decisions, task)][::-1],
        "scripts": ("sort.js", "game.js"),
        "side": SIDE,
        "intervals": leaderboard.INTERVALS,
    }


def describe(prepared: Json) -> Iterator[tuple[str, str]]:
    """(title, value) of each fact about the prepared data."""
    if not prepared:
        return
    spec = prepared["spec"]
    yield "modality", str(prepared["modality"])
    yield "item shape", " \N{MULTIPLICATION SIGN} ".join(map(str, spec["shape"]))
    for key in ("levels", "classes"):
        if spec.get(key):
            yield key, f"{spec[key]:,}"
    for title, counts in (("items", prepared["counts"]), ("independent groups", prepared.get("groups"))):
        if counts:
            splits = (split for split in SPLITS if split in counts)
            yield title, ", ".join(f"{split} {counts[split]:,}" for split in splits)


def _gallery(results: Results, name: str) -> Iterator[GalleryItem]:
    """Real items first, then every model's samples, translations or forecasts."""
    if real := real_items(results, name):
        yield real, None
    for model in results.models_of(name):
        for kind in ("samples", "translations", "forecast"):
            if panel := panels.panel(results.root / paths.panels(model.name), kind, title=model.name):
                yield panel, model.name


def _reference_samples(results: Results, name: str) -> Iterator[GalleryItem]:
    """Samples of the reference models, each once though tasks on the same data have the same ones."""
    seen = {"real-against-real"}  # the gallery shows real items already
    for task in results.tasks(name):
        for row, content in results.references.get(task, {}).get("rows", {}).items():
            panel = panels.panel(results.root / paths.baselines(task), row, row, content["role"])
            if panel and row not in seen:
                seen.add(row)
                yield panel, None


def _game(results: Results, name: str) -> Json | None:
    """Real and generated images to tell apart: those of the champion of the lowest Frechet distance, else of the
    best-ranked model that has images; "why" says which.
    """
    champions = [(task, model) for task, _, model in results.champions(name) if model]
    # The closer the samples are to real images, the harder the game.
    champions.sort(key=lambda pair: pair[1].metrics.get("frechet", math.inf))
    ranked = sorted(results.ranked(name), key=lambda pair: results.objective(pair[0]) != "frechet")
    candidates = [(f"the champion of {task}", model) for task, model in champions]
    candidates += [(f"the best-ranked model of {task}", model) for task, model in ranked]
    for why, model in candidates:
        folder = results.root / paths.panels(model.name)
        generated, real = (picture(folder / f"{tiles}.png", tiles, tiles) for tiles in panels.TILES)
        if generated and real:
            return {"model": model.name, "why": why, "generated": generated, "real": real}
    return None


def _judge(results: Results, name: str) -> Json | None:
    """Kind, digest and accuracy of the feature network (the judge); None where there is none."""
    used = next((m.card["judge"] for m in results.models_of(name) if m.card.get("judge")), None)
    card = read_optional(results.root / paths.judge(name) / "model.json")
    trained = card if "digest" in card else {}
    if not trained and used is None:
        return None
    accuracy = dict(trained.get("accuracy") or {})
    if used:
        # Without the network on this machine, the models' cards still say how accurate it was.
        accuracy.setdefault("test", used.get("accuracy"))
    return {
        "kind": (used or {}).get("kind", "classes"),
        "digest": (used or trained)["digest"],
        "features": (trained.get("config") or {}).get("features"),
        "accuracy": sorted((split, share) for split, share in accuracy.items() if share is not None),  # None: no labels
    }
