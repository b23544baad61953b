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
    from genfoundry.splits import Split
    from genfoundry.training.trainer import Trainer


@dataclass(frozen=True)
class Experiment:
    """A model class with all that it is trained by.

    Attributes:
        name: its key under `experiments:`.
        run: seed, threads, device, precision and arithmetic.
        budget: the chosen one.
        entry: its entry in params.yaml.
        task: what it is tuned for.
        modality: that of its data set.
        kind: the model's class.
        hyper: the model's hyperparameters.
        train: steps, learning rates and the rest.
    """

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
        """The experiment whose `dump` is `settings`."""
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
        """JSON values of all that a training depends on, and of nothing that only evaluation or promotion reads."""
        search = {key: space.model_dump(mode="json") for key, space in self.entry.search.items()}
        # Without a search these settings decide nothing, and an edit of them retrains nothing
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
        """The number of trials of its tuning; 0 where nothing is searched."""
        return self.budget.trials if self.entry.search else 0

    @property
    def key(self) -> tuple[object, ...]:
        """What every random draw of the experiment is seeded by."""
        return (self.run.seed, self.name)

    @property
    def keys(self) -> list[tuple[object, ...]]:
        """The key of each training: that of the model, then those of its repetitions with other seeds."""
        seeds = self.entry.seeds
        count = seeds if isinstance(seeds, int) else self.budget.seeds
        # The first key is the experiment's own, so that more seeds leave the model as it is
        return [self.key, *((self.run.seed, f"{self.name}, seed {i}") for i in range(1, count))]

    def build(self, spec: Spec, key: tuple[object, ...] | None = None) -> Learner:
        """Make the model, with initial weights that are seeded by `key` (default: the experiment's)."""
        # Imported late: checking params.yaml needs no torch
        import torch

        from genfoundry.seeding import derive_seed

        torch.manual_seed(derive_seed(*(key or self.key), "init"))
        return self.kind(spec, self.hyper)

    def trainer(self, split: Split, number: int = 0, *, key: tuple[object, ...] = (), **options: Any) -> Trainer:
        """Make the trainer of this experiment on a training split.

        Args:
            split: the training split, on the model's device.
            number: which training: 0 is the model's, 1, 2, ... have other seeds and other labels.
            key: what draws are seeded by (default: `keys[number]`).
            options: further attributes of `Trainer`.
        """
        from genfoundry.data.loaders import make_loader
        from genfoundry.training.trainer import Trainer

        key = key or self.keys[number]
        loader = make_loader(split, self.entry.data, self.train.batch, key, self.entry.dataset, number)
        return Trainer(loader, self.train, key, **options)

    def with_settings(self, settings: Mapping[str, Any]) -> Experiment:
        """A copy with dotted keys set, as a trial or the result of a tuning has them.

        Raises:
            UserError: the model does not take a key or a value.
        """
        where = f"experiments.{self.name}"
        values = {"hyper": self.hyper.model_dump(mode="json"), "train": self.train.model_dump(mode="json")}
        values = apply_settings(values, settings, where)
        hyper = config.check(self.kind.Config, values["hyper"], f"{where}.hyper")
        return replace(self, hyper=hyper, train=config.check(config.Train, values["train"], f"{where}.train"))

    def defaults(self) -> dict[str, Any]:
        """Dotted key -> value before tuning, for every searched key.

        Raises:
            UserError: a default lies outside its search space, where trial 0 could not be.
        """
        return {dotted: self._default(dotted, space) for dotted, space in self.entry.search.items()}

    def _default(self, dotted: str, space: config.Search) -> Any:
        value: Any = self
        for part in dotted.split("."):
            value = value.get(part) if isinstance(value, dict) else getattr(value, part, None)
        number = isinstance(value, int | float)
        inside = value in space.choices if space.choices is not None else number and space.low <= value <= space.high
        if not inside:
            raise UserError(
                f"params.yaml: experiments.{self.name}.search.{dotted}: the default {value!r} is not in "
                f"{list(space.bounds())}; trial 0 is always the default"
            )
        return value


def apply_settings(entry: dict[str, Any], settings: Mapping[str, Any], where: str) -> dict[str, Any]:
    """`entry` ({"hyper", "train"}) with dotted keys set; only hyper.* and train.* can be.

    Raises:
        UserError: another key.
    """
    for dotted, value in settings.items():
        root, *path = dotted.split(".")
        if root not in ("hyper", "train") or not path:
            raise UserError(f"params.yaml: {where}.search.{dotted}: only hyper.* and train.* can be searched")
        node = entry[root] = dict(entry[root])  # copies: nested mappings of the caller stay as they are
        for part in path[:-1]:
            node[part] = dict(node.get(part, {}))
            node = node[part]
        node[path[-1]] = value
    return entry
