"""The edge: params.yaml becomes classes, configurations and Spec here; nothing below this file sees a dict.

`python -m genfoundry.experiment` checks everything and prints the plan.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genfoundry import config, feasibility, metrics, models
from genfoundry.checkpoint import read_json
from genfoundry.reserved import find_misplaced
from genfoundry.types import Spec, UserError

if TYPE_CHECKING:
    from genfoundry.models.base import Hyper, Learner

PARAMS = Path("params.yaml")
SPEED = Path(".state/speed.json")  # seconds a step, as trainings on this machine measured them
REFERENCE = Path("bench/speed.json")  # the same on two cores without a GPU, for a machine that has trained nothing yet


@dataclass(frozen=True)
class Experiment:
    """One entry under `experiments:`, every value checked and resolved at the chosen budget."""

    name: str
    params: config.Params
    entry: config.Entry
    task: config.Task
    dataset: config.Dataset
    kind: type[Learner]
    hyper: Hyper
    train: config.Train

    @property
    def budget(self) -> config.Budget:
        return self.params.budgets[self.params.budget]

    @property
    def key(self) -> tuple[object, ...]:
        """What the experiment's randomness is counted from."""
        return (self.params.seed, self.name)

    @property
    def keys(self) -> list[tuple[object, ...]]:
        """The key of each training: the model's own, then those of its repetitions with other seeds."""
        own = self.entry.seeds
        count = (own.get(self.params.budget) if isinstance(own, dict) else own) or self.budget.seeds
        return [self.key, *((self.params.seed, f"{self.name}, seed {i}") for i in range(1, count))]

    def build(self, spec: Spec, key: tuple[object, ...] | None = None) -> Learner:
        """A new model with initial weights counted from `key` (its own)."""
        import torch

        from genfoundry.types import counted

        torch.manual_seed(counted(*(key or self.key), "init"))
        return self.kind(spec, self.hyper)


def settings(path: Path = PARAMS) -> config.Params:
    """params.yaml, its keys, types, references and paths checked; models are not imported."""
    params = config.read(path)
    raw = {name: dataset.raw for name, dataset in params.datasets.items()}
    faults = list(
        find_misplaced(
            {name: source if isinstance(source, str) else source.model_dump() for name, source in raw.items()},
            path.resolve().parent,
        )
    )
    for name, task in params.tasks.items():
        if task.objective not in metrics.OBJECTIVES:
            allowed = config.alternatives(task.objective, list(metrics.OBJECTIVES))
            faults.append(f"tasks.{name}.objective: {task.objective!r} is not known; {allowed}")
        elif task.direction != (right := metrics.OBJECTIVES[task.objective].direction):
            faults.append(f"tasks.{name}.direction: {task.direction!r}, but {task.objective} is to {right}")
    used = {f"experiments.{n}.model": e.model for n, e in params.experiments.items()}
    used |= {f"datasets.{n}.judge.model": d.judge.model for n, d in params.datasets.items() if d.judge}
    for key, model in used.items():
        if model not in models.names():
            faults.append(f"{key}: {model!r} is not known; {config.alternatives(model, models.names())}")
    if faults:
        raise UserError("\n".join(f"{path.name}: {fault}" for fault in faults))
    return params


def load(name: str, path: Path = PARAMS, overlay: Mapping[str, Any] | None = None) -> Experiment:
    """The experiment `name`, with `overlay`'s dotted keys (a tuning's result) laid over its entry.

    Raises:
        UserError: anything in it is wrong; one line a fault.
    """
    return resolve(settings(path), name, overlay or {})


def resolve(params: config.Params, name: str, overlay: Mapping[str, Any]) -> Experiment:
    """`load` for parameters that were read already."""
    if name not in params.experiments:
        allowed = config.alternatives(name, list(params.experiments))
        raise UserError(f"params.yaml: experiments: {name!r} is not there; {allowed}")
    entry = params.experiments[name]
    task = params.tasks[entry.task]
    _fits(models.find(entry.model), entry, params.datasets[entry.dataset].modality, task, f"experiments.{name}")
    kind, hyper, train = learner(
        params, entry.model, entry.hyper, entry.train, entry.steps, f"experiments.{name}", overlay
    )
    if entry.data.streams is not None and not hasattr(kind, "stream"):
        raise UserError(
            f"params.yaml: experiments.{name}.data.streams: {entry.data.streams}: {entry.model} carries no state along "
            "a text; leave data.streams out"
        )
    able = metrics.objectives(kind, params.datasets[entry.dataset].modality, hyper)
    if task.objective not in able:
        damage = metrics.RESTORED.get(task.objective) if hasattr(kind, "restore") else None
        hint = f" (hyper.noise: {damage} is right)" if damage else ""
        raise UserError(
            f"params.yaml: experiments.{name}.task: {entry.task!r} is ranked by {task.objective}, which {entry.model} "
            f"cannot compute so configured{hint}; it can compute {', '.join(able) or 'nothing'}"
        )
    return Experiment(name, params, entry, task, params.datasets[entry.dataset], kind, hyper, train)


def _fits(kind: type[Learner], entry: config.Entry, modality: str, task: config.Task, where: str) -> None:
    if modality not in kind.modalities:
        able = ", ".join(kind.modalities)
        raise UserError(f"params.yaml: {where}.model: {entry.model!r} models {able}, but its data set is {modality}")
    if modality == "images" and (why := kind.refuses(task.levels)):
        raise UserError(f"params.yaml: {where}.model: {entry.model!r} cannot model task {entry.task!r}: {why}")


def learner(
    params: config.Params,
    model: str,
    hyper: Mapping[str, Any],
    train: Mapping[str, Any],
    steps: Mapping[str, config.Steps],
    where: str,
    overlay: Mapping[str, Any],
) -> tuple[type[Learner], Hyper, config.Train]:
    """Class, configuration and training of a model's entry (an experiment's or a judge's)."""
    kind = models.find(model)
    laid = lay({"hyper": dict(hyper), "train": dict(train)}, overlay, where)
    for key in ("steps", "precision"):
        if key in laid["train"]:
            home = f"{where}.steps, a number for each budget" if key == "steps" else "precision, at the top"
            raise UserError(f"params.yaml: {where}.train.{key}: not set here but under {home}")
    rates = laid["train"].get("lr", {})
    players = kind.defaults["lr"]
    if not isinstance(rates, Mapping) or (unknown := sorted(rates.keys() - players.keys())):
        wrong = repr(rates) if not isinstance(rates, Mapping) else ", ".join(unknown)
        allowed = ", ".join(players) or "none: it is not trained by gradient descent"
        raise UserError(
            f"params.yaml: {where}.train.lr: {wrong}: wants a rate for a player of {model}; there are {allowed}"
        )
    raw = {**kind.defaults, **laid["train"], "lr": {**players, **rates}}
    raw |= {"steps": _steps(kind, steps.get(params.budget, 0), f"{where}.steps.{params.budget}")}
    raw |= {"precision": params.precision}
    checked = config.check(kind.Config, laid["hyper"], f"{where}.hyper")
    return kind, checked, config.check(config.Train, raw, f"{where}.train")


def _steps(kind: type[Learner], steps: config.Steps, where: str) -> dict[str, int]:
    if isinstance(steps, int):
        if steps and len(kind.phases) > 1:
            raise UserError(f"params.yaml: {where}: {steps}: wants steps for each phase: {', '.join(kind.phases)}")
        return {kind.phases[0]: steps}
    for phase in steps.keys() - set(kind.phases):
        raise UserError(f"params.yaml: {where}.{phase}: no such phase; {config.alternatives(phase, list(kind.phases))}")
    return steps


def lay(entry: dict[str, Any], overlay: Mapping[str, Any], where: str) -> dict[str, Any]:
    """`entry` with the dotted keys of `overlay` set; only hyper.* and train.* can be."""
    for dotted, value in overlay.items():
        root, *path = dotted.split(".")
        if root not in ("hyper", "train") or not path:
            raise UserError(f"params.yaml: {where}.search.{dotted}: only hyper.* and train.* can be searched")
        node = entry[root] = dict(entry[root])
        for part in path[:-1]:
            node[part] = dict(node.get(part, {}))
            node = node[part]
        node[path[-1]] = value
    return entry


def defaults(one: Experiment) -> dict[str, Any]:
    """Dotted key -> value before tuning, for every searched key.

    Raises:
        UserError: a default lies outside its space, where trial 0 could not be.
    """
    found: dict[str, Any] = {}
    for dotted, space in one.entry.search.items():
        node: Any = one
        for part in dotted.split("."):
            node = node.get(part) if isinstance(node, dict) else getattr(node, part, None)
        number = isinstance(node, int | float)
        inside = node in space.choices if space.choices is not None else number and space.low <= node <= space.high
        if not inside:
            raise UserError(
                f"params.yaml: experiments.{one.name}.search.{dotted}: the default {node!r} is not in "
                f"{list(space.bounds())}; trial 0 is always the default"
            )
        found[dotted] = node
    return found


def faults(params: config.Params) -> Iterator[str]:
    """Everything that is wrong in any experiment, search space or judge, a line each."""
    for name in params.experiments:
        yield from _entry_faults(params, name)
    for name, dataset in params.datasets.items():
        if dataset.judge is not None:
            try:
                judge(params, name)
            except UserError as error:
                yield str(error)


def _entry_faults(params: config.Params, name: str) -> Iterator[str]:
    try:
        one = resolve(params, name, {})
    except UserError as error:
        yield str(error)
        return
    clean = True
    for key, space in one.entry.search.items():
        for bound in space.bounds():
            try:
                resolve(params, name, {key: bound})
            except UserError as error:
                clean = False
                yield f"{error} (a bound of experiments.{name}.search.{key})"
    if clean:
        try:
            defaults(one)
        except UserError as error:
            yield str(error)
        if (spec := feasibility.spec_of(one)) is not None:
            yield from feasibility.faults(one, partial(resolve, params, name), spec, feasibility.rows_of(one))


def judge(params: config.Params, dataset: str) -> tuple[type[Learner], Hyper, config.Train] | None:
    """Class, configuration and training of a data set's judge, if it has one."""
    entry = params.datasets[dataset].judge
    if entry is None:
        return None
    return learner(params, entry.model, entry.hyper, entry.train, dict(entry.steps), f"datasets.{dataset}.judge", {})


def work(one: Experiment) -> int:
    """Training steps at the chosen budget, over all trials and seeds."""
    steps = sum(one.train.steps.values())
    trials = one.budget.trials if one.entry.search else 0
    return steps * len(one.keys) + trials * round(steps * one.budget.trial_share)


def expected(params: config.Params) -> dict[str, float]:
    """Experiment -> seconds that its trainings take at the chosen budget, as far as was measured."""
    pace = {name: seconds for path in (REFERENCE, SPEED) if path.exists() for name, seconds in read_json(path).items()}
    return {name: pace[name] * work(resolve(params, name, {})) for name in params.experiments if name in pace}


def plan(params: config.Params) -> list[list[str]]:
    """A row an experiment: what will run at the chosen budget, and for how long as far as was measured."""
    here, known, rows = read_json(SPEED) if SPEED.exists() else {}, expected(params), []
    for name, entry in params.experiments.items():
        one = resolve(params, name, {})
        steps = sum(one.train.steps.values())
        trials = one.budget.trials if entry.search else 0
        seconds = "not measured yet" if steps else "0 s"
        if name in known:
            seconds = f"{known[name]:.0f} s" + ("" if name in here else " on 2 cores")
        hyper = one.hyper.model_dump(exclude_unset=True)
        shown = ", ".join(f"{k}={v}" for k, v in hyper.items()) or "defaults"
        rows.append([name, entry.model, entry.dataset, entry.task, shown, str(trials), str(steps), seconds])
    return rows


def main() -> int:
    """Check params.yaml and print the plan; one line a fault and exit status 1 when something is wrong."""
    try:
        params = settings()
        wrong = list(faults(params))
        if wrong:
            raise UserError("\n".join(wrong))
        rows = plan(params)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    head = ["experiment", "model", "data set", "task", "parameters", "trials", "steps", "training"]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    share = params.budgets[params.budget].trial_share
    print(
        f"budget {params.budget}, seed {params.seed}, {params.threads} threads, {params.precision}, device "
        f"{params.device}; a trial trains {share:.0%} of the steps"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
