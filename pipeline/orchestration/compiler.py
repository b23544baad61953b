"""params.yaml compiled: one unit of work a stage and data set, task or experiment, each with exactly what it reads.

So an edit re-runs what depends on it and nothing else: an entry's settings stand in the units that read them, and a
source file in the digests of the units that run it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genfoundry import config, places, resolve
from genfoundry.data import sources
from genfoundry.unit import Unit
from pipeline.orchestration.code_digest import Code

STAGES = Path("pipeline/stages")
SRC = Path("src/genfoundry")
TUNE = STAGES / "tune.py"


def compile_units(root: Path, params: config.Params, source_digests: Mapping[str, str]) -> list[Unit]:
    """Every unit, in the order of dvc.yaml; `source_digests` says of each data set what its raw files are taken from.

    Raises:
        UserError: an entry is wrong.
    """
    return list(Compiler(root, params, source_digests, Code(root)).units())


@dataclass(frozen=True)
class Compiler:
    """One pass over params.yaml."""

    root: Path
    params: config.Params
    source_digests: Mapping[str, str]
    code: Code

    def units(self) -> Iterator[Unit]:
        """In the order of dvc.yaml's stages, and of params.yaml's entries."""
        for make, section in (
            (self.fetch, self.params.datasets),
            (self.prepare, self.params.datasets),
            (self.validate, self.params.datasets),
            (self.judge, self.params.judges),
            (self.baseline, self.params.tasks),
            (self.train, self.params.experiments),
            (self.evaluate, self.params.experiments),
        ):
            yield from (make(name) for name in section)
        yield from (self.rank(), self.register(), self.report())

    def fetch(self, name: str) -> Unit:
        """Its raw files, by checksum or by the digest of what they are copied from."""
        dataset = self.params.datasets[name]
        settings = {
            "modality": dataset.modality,
            "raw": dataset.model_dump(mode="json", include={"raw"})["raw"],
            "source": self.source_digests[name],
            "checksums": sources.checksums(dataset),
        }
        return self._unit("fetch", name, (), (places.raw(name),), settings)

    def prepare(self, name: str) -> Unit:
        """Arrays; what they are expected to be is for `validate` to read, where they come from for `fetch`."""
        dataset = self.params.datasets[name]
        settings = {"seed": self.params.seed, "dataset": dataset.model_dump(mode="json", exclude={"expect"})}
        inputs = (places.raw(name), places.inbox(name))
        return self._unit("prepare", name, inputs, (places.prepared(name),), settings, self._reader(name))

    def validate(self, name: str) -> Unit:
        """The verdict on the arrays."""
        settings = {"expect": self.params.datasets[name].expect.model_dump(mode="json")}
        return self._unit("validate", name, (places.prepared(name),), (places.verdict(name),), settings)

    def judge(self, name: str) -> Unit:
        """The feature network of a data set."""
        _, hyper, train = resolve.judge(self.params, name)
        settings = {
            "run": self._run(),
            "model": self.params.judges[name].model,
            "hyper": hyper.model_dump(mode="json"),
            "train": train.model_dump(mode="json"),
        }
        starts = (*self._reader(name), *self._network(name))
        inputs = (places.prepared(name), places.verdict(name))
        return self._unit("judge", name, inputs, (places.judge(name),), settings, starts)

    def baseline(self, name: str) -> Unit:
        """The rows that a task's models must beat."""
        task, budget = self.params.tasks[name], self._budget()
        settings = {
            "run": self._run(),
            "task": task.model_dump(mode="json", include={"dataset", "objective", "levels", "binarise", "labels"}),
            "samples": budget.samples,
            "test_items": budget.test_items,
            "judged": task.dataset in self.params.judges,
        }
        starts = self._measuring(task.dataset)
        return self._unit("baseline", name, self._data(task.dataset), (places.baselines(name),), settings, starts)

    def train(self, name: str) -> Unit:
        """An experiment's tuning and trainings."""
        one = resolve.resolve(self.params, name, {})
        dataset = one.entry.dataset
        outputs = (places.model(name), places.tuning(name), places.curves(name))
        starts = (*self._reader(dataset), _model(one.entry.model), *(self._network(dataset) if one.trials else ()))
        settings = {**one.dump(), "judged": bool(one.trials) and dataset in self.params.judges}
        leave_out = () if one.trials else (TUNE,)  # what searches nothing does not run it
        return self._unit("train", name, self._data(dataset), outputs, settings, starts, leave_out)

    def evaluate(self, name: str) -> Unit:
        """An experiment's scores, figures and pictures."""
        entry, budget = self.params.experiments[name], self._budget()
        shared = self._measuring(entry.dataset)
        settings = {
            "run": self._run(),
            "dataset": entry.dataset,
            "judged": entry.dataset in self.params.judges,
            "samples": budget.samples,
            "test_items": budget.test_items,
            "bound": budget.bound.model_dump(mode="json"),
            "objective": self.params.tasks[entry.task].objective,
            "shared_code": self.code.digest([STAGES / "evaluate.py", *shared]),
        }
        outputs = (places.scores(entry.dataset, name), places.panels(name), places.figures(name))
        inputs = (places.model(name), *self._data(entry.dataset))
        return self._unit("evaluate", name, inputs, outputs, settings, (*shared, _model(entry.model)))

    def rank(self) -> Unit:
        """The order of every task's candidates."""
        inputs = (places.scores(""), places.baselines(""))
        tasks = {name: task.model_dump(mode="json") for name, task in self.params.tasks.items()}
        settings = {"tasks": tasks, "experiments": list(self.params.experiments)}
        return self._unit("rank", "", inputs, (places.rankings(),), settings)

    def register(self) -> Unit:
        """What is decided of every task, and by which rule."""
        inputs = (places.rankings(), places.scores(""), places.baselines(""))
        tasks = {name: task.model_dump(mode="json") for name, task in self.params.tasks.items()}
        return self._unit("register", "", inputs, (), {"tasks": tasks})

    def report(self) -> Unit:
        """The leaderboard."""
        inputs = (places.scores(""), places.baselines(""), places.rankings())
        settings = {"experiments": list(self.params.experiments), "tasks": list(self.params.tasks)}
        return self._unit("report", "", inputs, places.LEADERBOARD, settings)

    def _unit(
        self,
        stage: str,
        name: str,
        inputs: tuple[Path, ...],
        outputs: tuple[Path, ...],
        settings: Mapping[str, Any],
        starts: tuple[Path, ...] = (),
        leave_out: tuple[Path, ...] = (),
    ) -> Unit:
        begin = dict.fromkeys((STAGES / f"{stage}.py", *starts))
        digest = self.code.digest(list(begin), leave_out)
        paths = (tuple(map(Path.as_posix, some)) for some in (inputs, outputs, begin, leave_out))
        return Unit(stage, name, *paths, digest, settings)

    def _run(self) -> dict[str, Any]:
        return resolve.run_of(self.params).model_dump(mode="json")

    def _budget(self) -> config.Budget:
        return self.params.budgets[self.params.budget]

    def _data(self, dataset: str) -> tuple[Path, ...]:
        """What users of a data set depend on: its arrays, its judge where there is one, and that it was found good."""
        return (places.dataset(dataset), places.verdict(dataset))

    def _reader(self, dataset: str) -> tuple[Path, ...]:
        return (SRC / f"data/{self.params.datasets[dataset].modality}.py",)

    def _network(self, dataset: str) -> tuple[Path, ...]:
        judge = self.params.judges.get(dataset)
        return (_model(judge.model),) if judge else ()

    def _measuring(self, dataset: str) -> tuple[Path, ...]:
        """What measures on a data set, beside the stage: its reader, its trivial models, its judge."""
        trivial = SRC / f"baselines/{self.params.datasets[dataset].modality}.py"
        rows = (trivial,) if (self.root / trivial).exists() else ()
        return (*self._reader(dataset), *rows, *self._network(dataset))


def _model(name: str) -> Path:
    return SRC / f"models/{name}.py"
