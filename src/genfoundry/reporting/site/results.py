"""What the outs, the ledger and this machine's measurements say, looked up by data set, task and experiment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from genfoundry import paths
from genfoundry.files import read_json
from genfoundry.selection import ledger, references
from genfoundry.tracking import cost_log

Json = dict[str, Any]


def there(path: Path) -> Json:
    """A JSON file's content; {} where there is none."""
    return dict(read_json(path)) if path.exists() else {}


@dataclass(frozen=True)
class Model:
    """An experiment that was measured: its scores' card, and model.json where it is on this machine."""

    name: str
    card: Json
    about: Json

    @property
    def figures(self) -> dict[str, float]:
        found: dict[str, float] = self.card.get("figures", {}).get("test", {})
        return found

    @property
    def dataset(self) -> str:
        return str(self.card["dataset"])

    @property
    def task(self) -> str:
        return str(self.card["task"])

    @property
    def digest(self) -> str:
        return str(self.card["digest"])

    @property
    def whole(self) -> bool:
        """Whether model.json is that of the model that was measured."""
        return self.about.get("digest") == self.digest


@dataclass(frozen=True)
class Facts:
    """All that the pages show, read once. `head` is the commit that is checked out and whether `src` is as it says."""

    root: Path
    board: Json
    models: dict[str, Model]
    lines: list[ledger.Decision]
    measured: dict[str, Json]
    head: tuple[str | None, bool]

    @classmethod
    def read(cls, root: Path) -> Facts:
        cards = [read_json(path) for path in sorted((root / paths.scores("")).glob("*/*/card.json"))]
        models = {
            card["experiment"]: Model(
                card["experiment"], card, there(root / paths.model(card["experiment"]) / "model.json")
            )
            for card in cards
        }
        board = there(root / paths.LEADERBOARD[0]) or {"tables": []}
        lines = ledger.read_decisions(root / paths.LEDGER)
        return cls(root, board, dict(sorted(models.items())), lines, cost_log.read_costs(root), ledger.get_commit(root))

    @cached_property
    def trivial(self) -> dict[str, Json]:
        """Task -> the card of its trivial models."""
        return {p.parent.name: read_json(p) for p in sorted((self.root / paths.baselines("")).glob("*/card.json"))}

    @cached_property
    def rankings(self) -> dict[str, Json]:
        """Task -> its ranking."""
        return {p.stem: read_json(p) for p in sorted((self.root / paths.RANKINGS).glob("*.json"))}

    @cached_property
    def homes(self) -> dict[str, str]:
        """Task -> its data set."""
        found = {task: str(card["dataset"]) for task, card in self.trivial.items() if "dataset" in card}
        return dict(sorted((found | {m.task: m.dataset for m in self.models.values()}).items()))

    def datasets(self) -> list[str]:
        """Every data set that was measured, modelled or validated; the plan removes what is gone from params.yaml."""
        judged = {path.stem for path in (self.root / paths.verdict("")).parent.glob("*.json")}
        judged |= {path.parent.name for path in (self.root / paths.docs("")).glob("*/failed.json")}
        return sorted({*judged, *self.homes.values()})

    def tasks(self, dataset: str) -> list[str]:
        return [task for task, home in self.homes.items() if home == dataset]

    def of(self, dataset: str) -> list[Model]:
        return [m for m in self.models.values() if m.dataset == dataset]

    def champion(self, task: str) -> tuple[ledger.Decision, Model | None] | None:
        """The decision that made the champion, and the model where it is still the one in the workspace."""
        line = ledger.find_champion(self.lines, task)
        if line is None:
            return None
        model = self.models.get(str(line["experiment"]))
        return line, model if model and model.digest == line["digest"] else None

    def champions(self, dataset: str) -> Iterator[tuple[str, ledger.Decision, Model | None]]:
        """Task, decision, model of every champion on a data set."""
        for task in self.tasks(dataset):
            if found := self.champion(task):
                yield task, *found

    def lost(self, task: str, model: Model) -> str:
        """The references of a task that a model does not beat on gate, in words; "" where there is none."""
        rows, objective = self.trivial.get(task, {}).get("rows", {}), self.rankings.get(task, {}).get("objective")
        return (
            references.describe_losses(references.find_gate_losses(rows, objective, model.card["figures"]))
            if objective
            else ""
        )

    def champion_lost(self, task: str) -> str:
        """`lost` of a task's champion; by the ledger's figure where its model is no longer the one in the workspace."""
        line, model = self.champion(task) or ({}, None)
        if model:
            return self.lost(task, model)
        about = next((x for x in reversed(self.lines) if x["digest"] == line.get("digest")), None) if line else None
        if about is None:
            return ""
        card, figures = self.trivial.get(task, {}), about.get("figures") or {}
        objective, value = str(self.rankings.get(task, {}).get("objective")), figures.get("candidate") or {}
        if objective in value and card.get("data") == about["data"]:
            return references.describe_losses(references.find_gate_losses(card["rows"], objective, {"gate": value}))
        return references.describe_losses(figures.get("loses_to") or ())

    def waiting(self, dataset: str) -> Iterator[tuple[str, str | None, str]]:
        """Task, best candidate and what it loses to ("": nothing, or not known), of every task without a champion."""
        for task in self.tasks(dataset):
            if self.champion(task) is None:
                best = (self.rankings.get(task, {}).get("candidates") or [{}])[0].get("experiment")
                model = self.models.get(str(best))
                yield task, model.name if model else None, self.lost(task, model) if model else ""

    def ranked(self, dataset: str) -> Iterator[tuple[str, Model]]:
        """Task and model, best first, task by task."""
        for task in self.tasks(dataset):
            for candidate in self.rankings.get(task, {}).get("candidates", ()):
                if (model := self.models.get(candidate["experiment"])) and model.digest == candidate["digest"]:
                    yield task, model

    def prepared(self, dataset: str) -> Json:
        """spec.json's content, where the prepared data are on this machine."""
        return there(self.root / paths.prepared(dataset) / "spec.json")

    def verdict(self, dataset: str) -> Json:
        """The validation's verdict, that of a failed run included."""
        failed = there(self.root / paths.docs(dataset) / "failed.json")
        return failed or there(self.root / paths.verdict(dataset))
