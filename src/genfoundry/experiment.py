"""An experiment: one entry under `experiments:`, every value checked and resolved at the chosen budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from genfoundry import config, models
from genfoundry.errors import UserError
from genfoundry.types import Spec

if TYPE_CHECKING:
    from genfoundry.models.base import Hyper, Learner


@dataclass(frozen=True)
class Experiment:
    """What a model is trained on, for, and how. `modality` is its data set's."""

    name: str
    run: config.Run
    budget: config.Budget
    entry: config.Entry
    task: config.Task
    modality: str
    kind: type[Learner]
    hyper: Hyper
    train: config.Train

    @classmethod
    def from_settings(cls, name: str, settings: Mapping[str, Any]) -> Experiment:
        """The experiment of a unit's settings (`dump`)."""
        kind = models.find(settings["experiment"]["model"])
        return cls(
            name,
            config.Run(**settings["run"]),
            config.check(config.Budget, settings["budget"], "budget", name),
            config.check(config.Entry, settings["experiment"], "experiment", name),
            config.check(config.Task, settings["task"], "task", name),
            settings["modality"],
            kind,
            config.check(kind.Config, settings["hyper"], "hyper", name),
            config.check(config.Train, settings["train"], "train", name),
        )

    def dump(self) -> dict[str, Any]:
        """JSON values of all that a training depends on: no margin, and nothing that only an evaluation reads."""
        search = {key: space.model_dump(mode="json") for key, space in self.entry.search.items()}
        budget = {"trials", "trial_batch", "trial_share", "trial_items", "samples"} if search else set()
        entry = self.entry.model_dump(mode="json", include={"dataset", "task", "model", "data"})
        task = {"dataset", "objective", "direction", "levels", "binarise", "labels"}
        return {
            "run": self.run.model_dump(mode="json"),
            "budget": {"trials": 0, "trial_share": 1.0, "samples": 2}
            | self.budget.model_dump(mode="json", include=budget),
            "experiment": entry | {"search": search, "seeds": len(self.keys)},
            "task": self.task.model_dump(mode="json", include=task),
            "modality": self.modality,
            "hyper": self.hyper.model_dump(mode="json"),
            "train": self.train.model_dump(mode="json"),
        }

    @property
    def trials(self) -> int:
        """How many trials its tuning has: none where nothing is searched."""
        return self.budget.trials if self.entry.search else 0

    @property
    def key(self) -> tuple[object, ...]:
        """What the experiment's randomness is counted from."""
        return (self.run.seed, self.name)

    @property
    def keys(self) -> list[tuple[object, ...]]:
        """The key of each training: the model's own, then those of its repetitions with other seeds."""
        own = self.entry.seeds
        count = own if isinstance(own, int) else self.budget.seeds
        return [self.key, *((self.run.seed, f"{self.name}, seed {i}") for i in range(1, count))]

    def build(self, spec: Spec, key: tuple[object, ...] | None = None) -> Learner:
        """A new model with initial weights counted from `key` (its own)."""
        import torch

        from genfoundry.seeding import derive_seed

        torch.manual_seed(derive_seed(*(key or self.key), "init"))
        return self.kind(spec, self.hyper)

    def with_settings(self, settings: Mapping[str, Any]) -> Experiment:
        """The same with dotted keys set, as a trial or a tuning's result has them.

        Raises:
            UserError: a key or value that the model does not take.
        """
        where = f"experiments.{self.name}"
        values = {"hyper": self.hyper.model_dump(mode="json"), "train": self.train.model_dump(mode="json")}
        values = apply_settings(values, settings, where)
        hyper = config.check(self.kind.Config, values["hyper"], f"{where}.hyper")
        return replace(self, hyper=hyper, train=config.check(config.Train, values["train"], f"{where}.train"))

    def defaults(self) -> dict[str, Any]:
        """Dotted key -> value before tuning, for every searched key.

        Raises:
            UserError: a default lies outside its space, where trial 0 could not be.
        """
        return {dotted: self._default(dotted, space) for dotted, space in self.entry.search.items()}

    def _default(self, dotted: str, space: config.Search) -> Any:
        node: Any = self
        for part in dotted.split("."):
            node = node.get(part) if isinstance(node, dict) else getattr(node, part, None)
        number = isinstance(node, int | float)
        inside = node in space.choices if space.choices is not None else number and space.low <= node <= space.high
        if not inside:
            raise UserError(
                f"params.yaml: experiments.{self.name}.search.{dotted}: the default {node!r} is not in "
                f"{list(space.bounds())}; trial 0 is always the default"
            )
        return node


def apply_settings(entry: dict[str, Any], settings: Mapping[str, Any], where: str) -> dict[str, Any]:
    """`entry` ({"hyper", "train"}) with dotted keys set; only hyper.* and train.* can be.

    Raises:
        UserError: another key.
    """
    for dotted, value in settings.items():
        root, *path = dotted.split(".")
        if root not in ("hyper", "train") or not path:
            raise UserError(f"params.yaml: {where}.search.{dotted}: only hyper.* and train.* can be searched")
        node = entry[root] = dict(entry[root])
        for part in path[:-1]:
            node[part] = dict(node.get(part, {}))
            node = node[part]
        node[path[-1]] = value
    return entry
