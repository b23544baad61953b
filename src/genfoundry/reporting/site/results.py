"""The outputs of the stages, the ledger and this machine's cost log, looked up by data set, task and experiment."""

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


def read_optional(path: Path) -> Json:
    """A JSON file's content; {} where there is no such file."""
    return dict(read_json(path)) if path.exists() else {}


@dataclass(frozen=True)
class ModelResult:
    """An evaluated experiment: its score card, its metrics on test, and model.json.

    `checkpoint` is {} where model.json is not on this machine, or is that of another model than was evaluated.
    """

    name: str
    dataset: str
    task: str
    digest: str
    metrics: dict[str, float]
    card: Json
    checkpoint: Json

    @classmethod
    def read(cls, root: Path, card: Json) -> ModelResult:
        name, metrics = card["experiment"], card.get("figures", {}).get("test", {})
        checkpoint = read_optional(root / paths.model(name) / "model.json")
        # After a training that was not evaluated yet, the two are of different models.
        if checkpoint.get("digest") != card["digest"]:
            checkpoint = {}
        return cls(name, card["dataset"], card["task"], card["digest"], metrics, card, checkpoint)


@dataclass(frozen=True)
class Results:
    """Everything that the pages show, read once. `head`: the commit checked out, and whether `src` is unchanged."""

    root: Path
    board: Json
    models: dict[str, ModelResult]
    decisions: list[ledger.Decision]
    costs: dict[str, Json]
    head: tuple[str | None, bool]

    @classmethod
    def read(cls, root: Path) -> Results:
        cards = [read_json(path) for path in sorted((root / paths.scores("")).glob("*/*/card.json"))]
        models = {card["experiment"]: ModelResult.read(root, card) for card in cards}
        # Pages are rendered from whatever is there, also before the first report.
        board = read_optional(root / paths.LEADERBOARD[0]) or {"tables": []}
        decisions = ledger.read_decisions(root / paths.LEDGER)
        costs, head = cost_log.read_costs(root), ledger.get_commit(root)
        return cls(root, board, dict(sorted(models.items())), decisions, costs, head)

    @cached_property
    def references(self) -> dict[str, Json]:
        """Task -> the card of its reference models."""
        return {p.parent.name: read_json(p) for p in sorted((self.root / paths.baselines("")).glob("*/card.json"))}

    @cached_property
    def rankings(self) -> dict[str, Json]:
        """Task -> its ranking."""
        return {p.stem: read_json(p) for p in sorted((self.root / paths.RANKINGS).glob("*.json"))}

    @cached_property
    def dataset_of_task(self) -> dict[str, str]:
        datasets = {task: str(card["dataset"]) for task, card in self.references.items() if "dataset" in card}
        return dict(sorted((datasets | {m.task: m.dataset for m in self.models.values()}).items()))

    def objective(self, task: str) -> str | None:
        objective: str | None = self.rankings.get(task, {}).get("objective")
        return objective

    def datasets(self) -> list[str]:
        """Every data set that was validated or modelled; the stage `plan` removes what left params.yaml."""
        validated = {path.stem for path in (self.root / paths.verdict("")).parent.glob("*.json")}
        # A validation that failed writes a page but no verdict, since its stage has no outputs then.
        validated |= {path.parent.name for path in (self.root / paths.docs("")).glob("*/failed.json")}
        return sorted({*validated, *self.dataset_of_task.values()})

    def tasks(self, dataset: str) -> list[str]:
        return [task for task, name in self.dataset_of_task.items() if name == dataset]

    def models_of(self, dataset: str) -> list[ModelResult]:
        return [m for m in self.models.values() if m.dataset == dataset]

    def champion(self, task: str) -> tuple[ledger.Decision, ModelResult | None] | None:
        """The decision that made the champion, and the model where it is still the one in the workspace."""
        line = ledger.find_champion(self.decisions, task)
        if line is None:
            return None
        model = self.models.get(str(line["experiment"]))
        # A champion outlives the retraining of its experiment, whose model is another by then.
        return line, model if model and model.digest == line["digest"] else None

    def champions(self, dataset: str) -> Iterator[tuple[str, ledger.Decision, ModelResult | None]]:
        """Task, decision and model of every champion on a data set."""
        for task in self.tasks(dataset):
            if champion := self.champion(task):
                yield task, *champion

    def lost_references(self, task: str, model: ModelResult) -> str:
        """Text about the references of a task that a model does not beat on gate; "" if it beats all."""
        rows, objective = self.references.get(task, {}).get("rows", {}), self.objective(task)
        metrics = model.card["figures"]
        return references.describe_losses(references.find_gate_losses(rows, objective, metrics)) if objective else ""

    def champion_lost(self, task: str) -> str:
        """`lost_references` of a task's champion, by the ledger's value where its model left the workspace."""
        line, model = self.champion(task) or ({}, None)
        if model:
            return self.lost_references(task, model)
        # The model has left the workspace: what is left of it is the ledger's latest decision about it.
        last = next((x for x in reversed(self.decisions) if x["digest"] == line.get("digest")), None) if line else None
        if last is None:
            return ""
        card, figures = self.references.get(task, {}), last.get("figures") or {}
        objective, gate = str(self.objective(task)), figures.get("candidate") or {}
        # Values on older data do not compare with today's references.
        if objective in gate and card.get("data") == last["data"]:
            return references.describe_losses(references.find_gate_losses(card["rows"], objective, {"gate": gate}))
        return references.describe_losses(figures.get("loses_to") or ())

    def statuses(self, dataset: str) -> Iterator[Json]:
        """Of every task, those with a champion first: "task", "decision" (that made the champion, or None), "model"
        (the champion or best candidate, where it is in the workspace) and "lost" (references that beat it on gate).
        """
        for task, decision, model in self.champions(dataset):
            yield {"task": task, "decision": decision, "model": model, "lost": self.champion_lost(task)}
        for task in self.tasks(dataset):
            if self.champion(task) is None:
                best = (self.rankings.get(task, {}).get("candidates") or [{}])[0].get("experiment")
                model = self.models.get(str(best))
                lost = self.lost_references(task, model) if model else ""
                yield {"task": task, "decision": None, "model": model, "lost": lost}

    def ranked(self, dataset: str) -> Iterator[tuple[str, ModelResult]]:
        """Task and model, best first, task by task."""
        for task in self.tasks(dataset):
            for candidate in self.rankings.get(task, {}).get("candidates", ()):
                # A ranking made before the last training is about another model of that name.
                if (model := self.models.get(candidate["experiment"])) and model.digest == candidate["digest"]:
                    yield task, model

    def spec(self, dataset: str) -> Json:
        """The content of spec.json, where the prepared data are on this machine."""
        return read_optional(self.root / paths.prepared(dataset) / "spec.json")

    def validation(self, dataset: str) -> Json:
        """The validation's result, that of a failed run included."""
        # A failed run leaves this file and no verdict, and the next one that succeeds removes it.
        failed = read_optional(self.root / paths.docs(dataset) / "failed.json")
        return failed or read_optional(self.root / paths.verdict(dataset))
