"""Search an experiment's space around its defaults; the overlay is what `train` uses."""

import math
import shutil
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from genfoundry import checkpoint, device, evaluate, experiment, feasibility, graph, metrics, places, session, tune
from genfoundry.data import labels
from genfoundry.data.base import Dataset
from genfoundry.types import UserError, counted

HERE = places.Path()
REPORTS = 3  # to the pruner, a trial


def run(name: str) -> None:
    one = experiment.load(name)
    target = device.arm(one.params)
    data = Dataset(places.prepared(one.entry.dataset))
    splits = [data.split(part, one.task.levels, one.task.binarise, target) for part in ("train", "val")]
    val = labels.of_trial(splits[1], one.budget.trial_items, one.task.labels)
    judge = evaluate.judge(places.judge(one.entry.dataset))
    trials = one.budget.trials if one.entry.search else 0
    rows = (~splits[0].whole.isnan()).all(1).sum().item() if data.modality == "series" else None
    resolve = partial(experiment.resolve, one.params, name)
    if trials and (faults := list(feasibility.faults(one, resolve, splits[0].spec, rows))):
        raise UserError("\n".join(faults))  # before the first trial, not after the last that works
    limit = session.Limit(name, one.params.max_minutes.get(name))
    counts = [sum(t.steps.values()) for t in (session.shorter(one.train, one.budget.trial_share), one.train)]
    study = tune.Study(one.key, one.task.direction, one.entry.search, experiment.defaults(one), trials, *counts)
    study = replace(study, batch=one.budget.trial_batch)

    def value(model: Any) -> float:
        seed = counted(*one.key, "tune") % 2**31
        unit, most = metrics.OBJECTIVES[one.task.objective], min(one.budget.samples, len(val))
        answers = evaluate.answers(model, val, samples=most, seed=seed, needs=unit.needs)
        return float(unit.value(evaluate.score(answers, val, judge), val.spec.dims))

    def objective(overlay: Mapping[str, Any], report: tune.Report) -> float:
        trial = resolve(overlay)
        train = session.shorter(trial.train, one.budget.trial_share)
        loader = labels.loader(splits[0], one.entry.data, train.batch, (*one.key, "tune"), one.entry.dataset, 0)
        try:
            model = trial.build(loader.split.spec).to(target)
        except UserError as error:  # between bounds that can be built: this trial fails, the study goes on
            raise tune.Infeasible(str(error)) from None
        total, reported = train.steps.get(model.phases[-1], 0), 0
        for event in tune.trained(model, loader, train, (*one.key, "tune")):
            due = math.floor(REPORTS * event.clock.share)
            if study.prunes and event.clock.phase == model.phases[-1] and reported < due < REPORTS and total:
                reported = due
                report(due, value(model))
                model.train()
            if limit.over():
                raise limit.error(f"in a trial at step {event.clock.step}/{event.clock.total}", "finished trials are")
        return value(model)

    log = graph.state(f"tune@{name}", HERE) / "trials.jsonl"
    memory = tune.search(study, lambda done, new: [tune.run_trial(study, done, i, objective) for i in new], log)
    with checkpoint.fresh(places.tuning(name)) as folder:
        tune.write(study, memory, log, folder, one.task.objective)
    shutil.rmtree(log.parent, ignore_errors=True)
