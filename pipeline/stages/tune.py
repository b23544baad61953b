"""The tuning of the stage `train`: search an experiment's space around its defaults, a batch of trials at a time."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from genfoundry import files, paths
from genfoundry.data import label_subsets
from genfoundry.data.dataset import Dataset
from genfoundry.errors import UserError
from genfoundry.evaluation import judge as evaluation_judge
from genfoundry.evaluation.context import SplitContext
from genfoundry.evaluation.objectives import find_objective
from genfoundry.evaluation.predict import predict, score
from genfoundry.models.base import Learner
from genfoundry.seeding import derive_seed
from genfoundry.splits import Split
from genfoundry.training import device, health, tuning
from genfoundry.training.experiment import Experiment
from genfoundry.training.trainer import Limit, shorten
from genfoundry.types import Event
from pipeline.orchestration import feasibility
from pipeline.orchestration.engine import Engine
from pipeline.orchestration.unit import Unit

REPORTS = 3  # to the pruner, a trial


def run(unit: Unit, experiment: Experiment, engine: Engine, state: Path, began: float) -> Mapping[str, Any]:
    """Run the trials that an earlier process did not finish, write the tuning's outs, and return the best settings."""
    # Where the work is done: the head of a cluster need not have the memory for the data.
    engine.map(check_feasible, [(str(unit.path),)])
    study, log = make_study(experiment), state / "trials.jsonl"

    def run_batch(done: list[tuning.Record], indices: list[int]) -> list[tuning.Record]:
        return engine.map(run_trial, [(str(unit.path), done, index, began) for index in indices])

    memory = tuning.search(study, run_batch, log)
    with files.replace_dir(paths.tuning(unit.name)) as folder:
        tuning.write(study, memory, log, folder, experiment.task.objective)
    return dict(files.read_json(paths.tuning(unit.name) / "overlay.json"))


def make_study(experiment: Experiment) -> tuning.Study:
    """Make the study of an experiment: search space, number of trials, and training steps of a trial."""
    budget, train = experiment.budget, experiment.train
    steps, whole = (sum(t.steps.values()) for t in (shorten(train, budget.trial_share), train))
    return tuning.Study(
        experiment.key,
        experiment.task.direction,
        experiment.entry.search,
        experiment.defaults(),
        experiment.trials,
        steps,
        whole,
        budget.trial_batch,
    )


def run_trial(path: str, done: list[tuning.Record], index: int, began: float) -> tuning.Record:
    """Run one trial, on whatever machine the engine chose; return its record."""
    inputs = TrialInputs.read(path)
    objective = Objective(inputs, Limit.read(inputs.experiment.name, began))
    return tuning.run_trial(make_study(inputs.experiment), done, index, objective)


@dataclass(frozen=True)
class TrialInputs:
    """The inputs that all trials of an experiment share: train, the items of val to measure on, the judge."""

    experiment: Experiment
    target: torch.device
    train: Split
    val: Split
    judge: Learner | None

    @classmethod
    @lru_cache(maxsize=1)  # trials that run in one process share it
    def read(cls, path: str) -> "TrialInputs":
        """The inputs of the unit whose plan file is at `path`."""
        unit = Unit.read(path)
        experiment = Experiment.from_settings(unit.name, unit.settings)
        task, target = experiment.task, device.configure_torch(experiment.run)
        data = Dataset(paths.prepared(experiment.entry.dataset))
        train, val = (data.split(part, task.levels, task.binarise, target) for part in ("train", "val"))
        # Fewer items make a trial cheap; the final model is measured on all of them.
        val = label_subsets.select_trial_items(val, experiment.budget.trial_items, task.labels)
        judge = paths.judge(experiment.entry.dataset) if unit.settings["judged"] else None
        return cls(experiment, target, train, val, evaluation_judge.load_judge(judge))

    def measure(self, model: Learner) -> float:
        """The task's objective on val."""
        seed = derive_seed(*self.experiment.key, "tune") % 2**31
        objective = find_objective(self.experiment.task.objective)
        samples = min(self.experiment.budget.samples, len(self.val))
        context = SplitContext(split=self.val, judge=self.judge, samples=samples, seed=seed)
        scores = score(predict(model, context, [objective]), context, [objective])
        return objective.value(scores, self.val.spec.dims)


def check_feasible(path: str) -> None:
    """Refuse a search space with settings that the data do not allow, before the first trial.

    Raises:
        UserError: a line for each such setting.
    """
    inputs = TrialInputs.read(path)
    experiment, train = inputs.experiment, inputs.train
    rows = int((~train.tensor.isnan()).all(1).sum()) if experiment.modality == "series" else None
    if faults := list(feasibility.find_faults(experiment, train.spec, rows)):
        raise UserError("\n".join(faults))


@dataclass(frozen=True)
class Objective:
    """Trains and measures a trial; intermediate values are reported to the pruner."""

    inputs: TrialInputs
    limit: Limit

    def __call__(self, settings: Mapping[str, Any], report: tuning.Report) -> float:
        experiment, reported = self.inputs.experiment.with_settings(settings), 0
        experiment = replace(experiment, train=shorten(experiment.train, experiment.budget.trial_share))
        # Every trial sees the same batches and noise, so that trials differ by their settings alone.
        trainer = experiment.trainer(self.inputs.train, key=(*experiment.key, "tune"))
        try:
            model = experiment.build(trainer.loader.split.spec).to(self.inputs.target)
        except UserError as error:  # between bounds that can be built: this trial fails, the study goes on
            raise tuning.Infeasible(str(error)) from None
        last = model.phases[-1]
        # Losses of an earlier phase say nothing of the objective: only the last phase is reported.
        prunes = make_study(self.inputs.experiment).prunes and experiment.train.steps.get(last, 0)

        events: list[Event] = []

        def on_event(event: Event) -> None:
            nonlocal reported
            events.append(event)
            if collapse := health.find_collapse(events):
                raise tuning.Collapsed(f"{collapse} at step {event.clock.step} of {event.clock.total}")
            due = math.floor(REPORTS * event.clock.share)
            # The last report would be the trial's value, which is measured anyway.
            if prunes and event.clock.phase == last and reported < due < REPORTS:
                reported = due
                report(due, self.inputs.measure(model))
                model.train()  # measuring has put it into evaluation mode
            if self.limit.is_over():
                where = f"in a trial at step {event.clock.step}/{event.clock.total}"
                raise self.limit.error(where, "finished trials are")

        trainer.on_event = on_event
        trainer.fit(model)
        return self.inputs.measure(model)
