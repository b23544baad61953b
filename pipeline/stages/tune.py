"""The tuning of the stage `train`: search an experiment's space around its defaults, a batch of trials at a time."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from genfoundry import files, paths
from genfoundry.data import label_subsets, loaders
from genfoundry.data.dataset import Dataset
from genfoundry.errors import UserError
from genfoundry.evaluation import judge as evaluation_judge
from genfoundry.evaluation import objectives, predict
from genfoundry.experiment import Experiment
from genfoundry.models.base import Learner
from genfoundry.seeding import derive_seed
from genfoundry.splits import Split
from genfoundry.training import device, session, tuning
from pipeline.orchestration import feasibility
from pipeline.orchestration.engine import Engine
from pipeline.orchestration.unit import Unit

REPORTS = 3  # to the pruner, a trial


def run(unit: Unit, one: Experiment, engine: Engine, state: Path, began: float) -> Mapping[str, Any]:
    """Run the trials that an earlier process did not finish, write the tuning's outs; the settings that were best."""
    engine.map(check_feasible, [(str(unit.path),)])
    study, log = study_of(one), state / "trials.jsonl"

    def run_batch(done: list[dict[str, Any]], indices: list[int]) -> list[dict[str, Any]]:
        return engine.map(run_trial, [(str(unit.path), done, index, began) for index in indices])

    memory = tuning.search(study, run_batch, log)
    with files.replace_dir(paths.tuning(unit.name)) as folder:
        tuning.write(study, memory, log, folder, one.task.objective)
    return dict(files.read_json(paths.tuning(unit.name) / "overlay.json"))


def study_of(one: Experiment) -> tuning.Study:
    """What is searched, by how many trials of how many steps."""
    steps = [sum(train.steps.values()) for train in (session.shorter(one.train, one.budget.trial_share), one.train)]
    space, batch = one.entry.search, one.budget.trial_batch
    return tuning.Study(one.key, one.task.direction, space, one.defaults(), one.trials, *steps, batch=batch)


def run_trial(path: str, done: list[dict[str, Any]], index: int, began: float) -> dict[str, Any]:
    """One trial in whichever process; its record."""
    trials = Trials.read(path)
    objective = Objective(trials, session.Limit.read(trials.one.name, began))
    return tuning.run_trial(study_of(trials.one), done, index, objective)


@dataclass(frozen=True)
class Trials:
    """What every trial of an experiment reads: train, the items of val that it is measured on, the judge."""

    one: Experiment
    target: torch.device
    train: Split
    val: Split
    judge: Learner | None

    @classmethod
    @lru_cache(maxsize=1)  # trials that run in one process share it
    def read(cls, path: str) -> "Trials":
        unit = Unit.read(path)
        one = Experiment.from_settings(unit.name, unit.settings)
        target = device.configure_torch(one.run)
        data = Dataset(paths.prepared(one.entry.dataset))
        train, val = (data.split(part, one.task.levels, one.task.binarise, target) for part in ("train", "val"))
        val = label_subsets.select_trial_items(val, one.budget.trial_items, one.task.labels)
        judge = paths.judge(one.entry.dataset) if unit.settings["judged"] else None
        return cls(one, target, train, val, evaluation_judge.load(judge))

    def measure(self, model: Learner) -> float:
        """The task's objective on val."""
        seed = derive_seed(*self.one.key, "tune") % 2**31
        unit, most = objectives.OBJECTIVES[self.one.task.objective], min(self.one.budget.samples, len(self.val))
        answers = predict.answers(model, self.val, samples=most, seed=seed, needs=unit.needs)
        return float(unit.value(predict.score(answers, self.val, self.judge), self.val.spec.dims))


def check_feasible(path: str) -> None:
    """Refuse a space of which the data allow only a part: before the first trial, not after the last that works.

    Raises:
        UserError: a line a setting.
    """
    trials = Trials.read(path)
    one = trials.one
    rows = int((~trials.train.tensor.isnan()).all(1).sum()) if one.modality == "series" else None
    if faults := list(feasibility.faults(one, trials.train.spec, rows)):
        raise UserError("\n".join(faults))


@dataclass(frozen=True)
class Objective:
    """A trial's training and its value, reported to the pruner on the way."""

    trials: Trials
    limit: session.Limit

    def __call__(self, settings: Mapping[str, Any], report: tuning.Report) -> float:
        one, key = self.trials.one, (*self.trials.one.key, "tune")
        trial = one.with_settings(settings)
        train = session.shorter(trial.train, one.budget.trial_share)
        loader = loaders.make_loader(self.trials.train, one.entry.data, train.batch, key, one.entry.dataset, 0)
        try:
            model = trial.build(loader.split.spec).to(self.trials.target)
        except UserError as error:  # between bounds that can be built: this trial fails, the study goes on
            raise tuning.Infeasible(str(error)) from None
        total, reported = train.steps.get(model.phases[-1], 0), 0
        prunes = study_of(one).prunes
        for event in tuning.trained(model, loader, train, key):
            due = math.floor(REPORTS * event.clock.share)
            if prunes and event.clock.phase == model.phases[-1] and reported < due < REPORTS and total:
                reported = due
                report(due, self.trials.measure(model))
                model.train()
            if self.limit.over():
                where = f"in a trial at step {event.clock.step}/{event.clock.total}"
                raise self.limit.error(where, "finished trials are")
        return self.trials.measure(model)
