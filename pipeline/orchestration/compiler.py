"""Compiles params.yaml: one unit of work a stage and data set, task or experiment, each with exactly what it reads.

So an edit re-runs what depends on it and nothing else: an entry's settings stand in the units that read them, and a
source file in the digests of the units that run it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from genfoundry import config
from genfoundry import paths as paths_module
from genfoundry.config.skipping import find_skipped
from genfoundry.data.fetch import catalog
from genfoundry.evaluation import metrics
from genfoundry.evaluation.objectives import find_objective
from genfoundry.training import health
from pipeline.orchestration import declared_stages, resolve, skipped_units
from pipeline.orchestration.code_digest import Code
from pipeline.orchestration.code_starts import TUNING, WATCHING, find_starts
from pipeline.orchestration.unit import Unit


def compile_units(root: Path, params: config.Params, source_digests: Mapping[str, str]) -> list[Unit]:
    """Every unit, in the order of dvc.yaml; those of stages that dvc.yaml alone declares come last.

    `source_digests` says of each data set what its raw files are taken from.

    Raises:
        UserError: an entry is wrong.
    """
    compiler = Compiler(root, params, source_digests, Code(root))
    units = list(compiler.units())
    # A stage that somebody added to dvc.yaml gets plan files too, without a method here.
    for stage in declared_stages.read_stages(root, {unit.stage for unit in units}):
        entries = getattr(params, stage.section) if stage.section else {"": None}
        units += [compiler.skip(stage.section, compiler.declared(stage, name)) for name in entries]
    return units


@dataclass(frozen=True)
class Compiler:
    """One pass over params.yaml."""

    root: Path
    params: config.Params
    source_digests: Mapping[str, str]
    code: Code

    def units(self) -> Iterator[Unit]:
        """Yield them in the order of dvc.yaml's stages, and of params.yaml's entries."""
        for make, section in (
            (self.fetch, "datasets"),
            (self.prepare, "datasets"),
            (self.validate, "datasets"),
            (self.judge, "judges"),
            (self.baseline, "tasks"),
            (self.train, "experiments"),
            (self.evaluate, "experiments"),
        ):
            yield from (self.skip(section, make(name)) for name in getattr(self.params, section))
        yield from (self.rank(), self.register(), self.report())

    @cached_property
    def skip_reasons(self) -> Mapping[str, Mapping[str, str]]:
        """Section of params.yaml -> entry -> why the chosen budget skips it."""
        return find_skipped(self.params)

    def skip(self, section: str, unit: Unit) -> Unit:
        """Return the unit, of an entry of `section`: with nothing to do if the chosen budget skips the entry."""
        if reason := self.skip_reasons.get(section, {}).get(unit.name):
            entry = getattr(self.params, section)[unit.name]
            return skipped_units.skip(unit, reason, getattr(entry, "dataset", unit.name))
        return unit

    def fetch(self, name: str) -> Unit:
        """Raw files, by checksum or by the digest of what they are copied from."""
        dataset = self.params.datasets[name]
        settings = {
            "modality": dataset.modality,
            "raw": dataset.model_dump(mode="json", include={"raw"})["raw"],
            # The user's own files lie outside the repository, where dvc.yaml cannot name them as dependencies.
            "source": self.source_digests[name],
            # The catalog is machinery, which no code digest covers: a corrected checksum re-runs the stage by this key.
            "checksums": catalog.checksums(dataset),
        }
        return self._unit("fetch", name, (), (paths_module.raw(name),), settings)

    def prepare(self, name: str) -> Unit:
        """Arrays; what they are expected to be is for `validate` to read, where they come from for `fetch`."""
        dataset = self.params.datasets[name]
        entry = dataset.model_dump(mode="json", exclude={"expect"})
        entry["raw"] = dataset.raw if isinstance(dataset.raw, str) else "own"  # a name of the catalog's has class names
        settings = {"run": self._select_rounding(), "seed": self.params.seed, "dataset": entry}
        inputs = (paths_module.raw(name), paths_module.inbox(name))
        return self._unit(
            "prepare", name, inputs, (paths_module.prepared(name),), settings, self._starts("prepare", name)
        )

    def validate(self, name: str) -> Unit:
        """The verdict on the arrays."""
        settings = {"run": self._select_rounding(), "expect": self.params.datasets[name].expect.model_dump(mode="json")}
        return self._unit("validate", name, (paths_module.prepared(name),), (paths_module.verdict(name),), settings)

    def judge(self, name: str) -> Unit:
        """The feature network of a data set."""
        _, hyper, train = resolve.resolve_judge(self.params, name)
        settings = {
            "run": self._select_run(),
            "model": self.params.judges[name].model,
            "hyper": hyper.model_dump(mode="json"),
            "train": train.model_dump(mode="json"),
        }
        starts = self._starts("judge", name, self._judge(name))
        inputs = (paths_module.prepared(name), paths_module.verdict(name))
        return self._unit("judge", name, inputs, (paths_module.judge(name),), settings, starts)

    def baseline(self, name: str) -> Unit:
        """The rows that a task's models must beat."""
        task, budget = self.params.tasks[name], self._budget()
        settings = {
            "run": self._select_run(),
            "task": task.model_dump(mode="json", include={"dataset", "objective", "levels", "binarise", "labels"}),
            "samples": budget.samples,
            "test_items": budget.test_items,
            "judged": task.dataset in self.params.judges,
        }
        starts = self._starts("baseline", task.dataset, self._judge(task.dataset), self._metrics(task.dataset))
        return self._unit("baseline", name, self._data(task.dataset), (paths_module.baselines(name),), settings, starts)

    def train(self, name: str) -> Unit:
        """An experiment's tuning and trainings."""
        experiment = resolve.resolve_experiment(self.params, name, {})
        dataset = experiment.entry.dataset
        outputs = (paths_module.model(name), paths_module.tuning(name), paths_module.curves(name))
        # A tuning computes the objective, so the code of that metric, and its feature network, are part of the result.
        metric = find_objective(experiment.task.objective)
        tunes = bool(experiment.trials) and "judge" in metric.requires.abilities
        watched = health.is_adversarial(experiment.kind)  # the judge classifies samples while it trains
        judge = self._judge(dataset) if tunes or watched else ()
        tuned_by = (metrics.file_of(metric.name),) if experiment.trials else ()
        starts = self._starts("train", dataset, (experiment.entry.model, *judge), tuned_by)
        settings = {**experiment.dump(), "judged": bool(judge)}
        # What searches nothing does not run the tuning, and what has no judge to watch it not the watching
        leave_out = (() if experiment.trials else (TUNING,)) + (() if watched and judge else (WATCHING,))
        return self._unit("train", name, self._data(dataset), outputs, settings, starts, leave_out)

    def evaluate(self, name: str) -> Unit:
        """An experiment's scores, metrics and pictures."""
        entry, budget = self.params.experiments[name], self._budget()
        judge, measured = self._judge(entry.dataset), self._metrics(entry.dataset)
        shared = self._starts("evaluate", entry.dataset, judge, measured)
        settings = {
            "run": self._select_run(),
            "dataset": entry.dataset,
            "judged": entry.dataset in self.params.judges,
            "samples": budget.samples,
            "test_items": budget.test_items,
            "bound": budget.bound.model_dump(mode="json"),
            "objective": self.params.tasks[entry.task].objective,
            # Less the model's file: arrays that depend on the data alone are cached under this digest for all models.
            "shared_code": self.code.digest(shared),
        }
        outputs = (paths_module.scores(entry.dataset, name), paths_module.panels(name), paths_module.evaluation(name))
        inputs = (paths_module.model(name), *self._data(entry.dataset))
        starts = self._starts("evaluate", entry.dataset, (entry.model, *judge), measured)
        return self._unit("evaluate", name, inputs, outputs, settings, starts)

    def rank(self) -> Unit:
        """The order of every task's candidates."""
        # Whole folders, so that an added or removed experiment is noticed; `plan` removes what params.yaml has no more.
        inputs = (paths_module.scores(""), paths_module.baselines(""))
        settings = {"tasks": self._running_tasks(), "experiments": self._running_experiments()}
        return self._unit("rank", "", inputs, (paths_module.RANKINGS,), settings)

    def register(self) -> Unit:
        """The promotion decisions on all tasks."""
        inputs = (paths_module.RANKINGS, paths_module.scores(""), paths_module.baselines(""))
        tasks = self._running_tasks()
        starts = find_starts("register", metrics={metrics.file_of(task["objective"]) for task in tasks.values()})
        # No outputs: what is decided depends on the ledger, too, and the stage itself sees whether it has to act.
        return self._unit("register", "", inputs, (), {"run": self._select_rounding(), "tasks": tasks}, starts)

    def report(self) -> Unit:
        """The leaderboard."""
        inputs = (paths_module.scores(""), paths_module.baselines(""), paths_module.RANKINGS)
        settings = {"experiments": self._running_experiments(), "tasks": list(self._running_tasks())}
        return self._unit("report", "", inputs, paths_module.LEADERBOARD, settings)

    def declared(self, stage: declared_stages.Stage, name: str) -> Unit:
        """A unit of a stage that only dvc.yaml knows: its settings are how to run, and its entry of params.yaml."""
        # All of the settings of the run: nobody knows which of them a stage of that kind reads.
        entry = getattr(self.params, stage.section)[name].model_dump(mode="json") if name else {}
        dataset = entry.get("dataset", name)
        models = (entry["model"],) if "model" in entry else ()
        starts = self._starts(stage.name, dataset, models) if dataset else ()
        return self._unit(
            stage.name, name, *stage.paths(name, entry), {"run": self._select_run(), "entry": entry}, starts
        )

    def _unit(
        self,
        stage: str,
        name: str,
        inputs: tuple[Path, ...],
        outputs: tuple[Path, ...],
        settings: Mapping[str, Any],
        starts: Collection[Path] = (),
        leave_out: Collection[Path] = (),
    ) -> Unit:
        # A stage without models or modalities starts from its own file.
        starts = starts or find_starts(stage)
        digest = self.code.digest(starts, leave_out)
        read, written, begin, without = (tuple(map(Path.as_posix, x)) for x in (inputs, outputs, starts, leave_out))
        return Unit(stage, name, read, written, begin, without, digest, settings)

    def _running_tasks(self) -> dict[str, dict[str, Any]]:
        """Return the tasks that the chosen budget does not skip: the champions of others stay as they are."""
        tasks = self.params.tasks.items()
        return {name: task.model_dump(mode="json") for name, task in tasks if name not in self.skip_reasons["tasks"]}

    def _running_experiments(self) -> list[str]:
        return [name for name in self.params.experiments if name not in self.skip_reasons["experiments"]]

    def _select_run(self) -> dict[str, Any]:
        return resolve.select_run(self.params).model_dump(mode="json")

    def _select_rounding(self) -> dict[str, Any]:
        """Return what of `run` sets the environment: all that a stage needs which trains nothing, but computes."""
        return {key: self._select_run()[key] for key in ("threads", "arithmetic")}

    def _budget(self) -> config.Budget:
        return self.params.budgets[self.params.budget]

    def _data(self, dataset: str) -> tuple[Path, ...]:
        """Return what users of a data set depend on: its arrays, its judge where it has one, and the verdict."""
        return (paths_module.dataset(dataset), paths_module.verdict(dataset))

    def _metrics(self, dataset: str) -> list[str]:
        """The files of the metrics that apply to a data set."""
        return metrics.files_of(self.params.datasets[dataset].modality)

    def _judge(self, dataset: str) -> tuple[str, ...]:
        """Return the model of a data set's judge, where it has one."""
        return (self.params.judges[dataset].model,) if dataset in self.params.judges else ()

    def _starts(
        self, stage: str, dataset: str, models: Collection[str] = (), metrics: Collection[str] = ()
    ) -> list[Path]:
        return find_starts(stage, self.params.datasets[dataset].modality, models, metrics, self.root)
