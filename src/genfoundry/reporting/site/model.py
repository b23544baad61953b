"""What the page of a model shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from genfoundry import paths
from genfoundry.evaluation.yardstick import CONTROL, FIGURES, Figure
from genfoundry.reporting import leaderboard
from genfoundry.reporting.site import chart, panels, sections, table, tuning
from genfoundry.reporting.site.render import duration, number, size
from genfoundry.reporting.site.results import Facts, Json, Model
from genfoundry.tracking.outputs import ModelOutputs

COSTS: Mapping[str, tuple[str, Callable[[Any], str]]] = {  # key -> title, in words
    "parameters": ("parameters", number),
    "train_seconds": ("training", duration),
    "train_items_per_second": ("items a second in training", number),
    "samples_per_second": ("samples a second", number),
    "evaluate_seconds": ("evaluation", duration),
    "peak_memory_bytes": ("peak memory", size),
    "device": ("device", str),
}
CODED = {  # likelihood -> the code that makes a file of it
    "exact": "an arithmetic coder reaches it to within a few bits a file",
    "bound": "a bound, which bits-back coding reaches (Townsend et al. 2019)",
}
UNMEASURED = "not measured on this machine"


@dataclass(frozen=True)
class Measured:
    """A figure on test, its interval and what that is over, the same by a network with random weights, on val and gate,
    and seed by seed.
    """

    figure: Figure
    value: float | None
    interval: tuple[float, float] | None
    control: float | None
    val: float | None
    gate: float | None
    seeds: list[float]
    spread: float | None
    absent: str
    beside: list[tuple[str, float]]
    over: str

    @property
    def decimals(self) -> int:
        """Of every number in the row."""
        half = [(self.interval[1] - self.interval[0]) / 2] if self.interval else []
        return table.places([self.value], half)


def view(facts: Facts, name: str) -> dict[str, Any]:
    """The names in templates/model.html."""
    model = facts.models[name]
    rows = list(figures(model, compressed(facts, model)))
    folder = facts.root / paths.panels(name)
    curves = facts.root / paths.curves(name)
    return {
        "model": model,
        "champion_of": [task for task, _, m in facts.champions(model.dataset) if m is model],
        "best_of": [t for t, r in facts.rankings.items() if r["candidates"][:1] and _leads(r, model)],
        "lost": {task: facts.lost(task, model) for task in facts.homes | facts.rankings},
        "notes": [f"{t}: {r['note']}" for t, r in facts.rankings.items() if r.get("note") and _leads(r, model)],
        "rows": [row for row in rows if row.figure.needs in leaderboard.TABLED],
        "sections": list(sections.sections(rows, model.figures)),
        "lacking": sections.lacking(rows),
        "failing": sections.failing,
        "coded": CODED.get(model.card["likelihood"]) if any(row.beside for row in rows) else None,
        "n": model.figures.get("n"),
        "frechet_n": model.figures.get("frechet_n"),
        "control": any(row.control is not None for row in rows),
        "panels": panels.panels(folder),
        "curves": chart.curves(curves),
        "trained": curves.exists(),
        "tuning": tuning.view(facts, model),
        "costs": list(costs(facts, model)),
        "provenance": provenance(facts, model),
        "settings": sorted(ModelOutputs(facts.root, name).params().items()) if model.whole else [],
        "scripts": ("sort.js",),
        "points": leaderboard.points,
        "intervals": leaderboard.INTERVALS,
    }


def _leads(ranking: Json, model: Model) -> bool:
    first = ranking["candidates"][0] if ranking["candidates"] else {}
    return (first.get("experiment"), first.get("digest")) == (model.name, model.digest)


def compressed(facts: Facts, model: Model) -> Json:
    """Compressor -> its figures on the model's own data: what a likelihood stands beside."""
    keys = ("dataset", "levels", "binarise")
    found: Json = {}
    for card in facts.trivial.values():
        if all(card.get(key) == model.card.get(key) for key in keys):
            found |= {n: row["figures"].get("test", {}) for n, row in card["rows"].items() if _compresses(row)}
    return found


def _compresses(row: Json) -> bool:
    return bool(row.get("role") == "compressor")


def figures(model: Model, beside: Json) -> Iterator[Measured]:
    """Every figure that models of such data can have; one without a value has the reason.

    `beside` has the figures of what a likelihood is compared with; the card has those of other methods.
    """
    others = {**beside, **model.card.get("beside", {})}
    test, seeds, absent = model.figures, model.card.get("seeds", {}), model.card.get("absent", {})
    splits = model.card["figures"]
    for name, figure in FIGURES.items():
        if name in test or name in absent:
            yield Measured(
                figure,
                test.get(name),
                leaderboard.interval(test, name) if name in test else None,
                test.get(f"{name}{CONTROL}"),
                splits.get("val", {}).get(name),
                splits.get("gate", {}).get(name),
                seeds.get("values", {}).get(name, []) if seeds.get("n", 1) > 1 else [],
                seeds.get("spread", {}).get(name),
                absent.get(name, ""),
                [(how, f[name]) for how, f in sorted(others.items()) if name in f],
                leaderboard.over([{"figures": test}], name),
            )


def costs(facts: Facts, model: Model) -> Iterator[tuple[str, str]]:
    """What the model cost here, in words."""
    known = facts.measured.get(model.digest, {})
    for key, (title, words) in COSTS.items():
        yield title, words(known[key]) if key in known else UNMEASURED


def provenance(facts: Facts, model: Model) -> Json:
    """Commit, digests, and the command that rebuilds the model."""
    line = next((x for x in reversed(facts.lines) if x["digest"] == model.digest and x.get("commit")), None)
    commit, clean = (line["commit"], bool(line.get("clean"))) if line else facts.head
    about = model.about if model.whole else {}
    judge = model.card.get("judge")
    return {
        "commit": commit,
        "clean": clean,
        "decided": line is not None,
        "digests": [
            ("data", model.card["data"]),
            ("judge", judge["digest"] if judge else None),
            ("model", model.digest),
            ("weights (sha256)", about.get("digests", {}).get("weights")),
        ],
        "rebuild": [f"git checkout {commit}"] * bool(commit) + [f"dvc repro evaluate@{model.name}"],
        "made": [(key, about[key]) for key in ("device", "precision", "threads", "arithmetic") if key in about],
    }
