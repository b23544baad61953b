"""The edge: params.yaml becomes classes, configurations and experiments here; nothing below this file sees a dict.

The stage `plan` and the commands call it; every other stage reads its unit of the plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genfoundry import config, models, paths
from genfoundry.config.load import read_params
from genfoundry.errors import UserError
from genfoundry.evaluation import objectives
from genfoundry.experiment import Experiment, apply_settings
from pipeline.orchestration import feasibility
from pipeline.orchestration.reserved_folders import find_misplaced

if TYPE_CHECKING:
    from genfoundry.models.base import Hyper, Learner

PARAMS = paths.PARAMS
RUN = ("seed", "threads", "device", "precision", "arithmetic")


def settings(path: Path = PARAMS) -> config.Params:
    """params.yaml, its keys, types, references and paths checked; models are not imported."""
    params = read_params(path)
    raw = {name: dataset.raw for name, dataset in params.datasets.items()}
    faults = list(
        find_misplaced(
            {name: source if isinstance(source, str) else source.model_dump() for name, source in raw.items()},
            path.resolve().parent,
        )
    )
    for name, task in params.tasks.items():
        if task.objective not in objectives.OBJECTIVES:
            allowed = config.suggest_names(task.objective, list(objectives.OBJECTIVES))
            faults.append(f"tasks.{name}.objective: {task.objective!r} is not known; {allowed}")
        elif task.direction != (right := objectives.OBJECTIVES[task.objective].direction):
            faults.append(f"tasks.{name}.direction: {task.direction!r}, but {task.objective} is to {right}")
    used = {f"experiments.{n}.model": e.model for n, e in params.experiments.items()}
    used |= {f"judges.{name}.model": judge.model for name, judge in params.judges.items()}
    for key, model in used.items():
        if model not in models.names():
            faults.append(f"{key}: {model!r} is not known; {config.suggest_names(model, models.names())}")
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
        allowed = config.suggest_names(name, list(params.experiments))
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
    able = objectives.objectives(kind, params.datasets[entry.dataset].modality, hyper)
    if task.objective not in able:
        damage = objectives.RESTORED.get(task.objective) if hasattr(kind, "restore") else None
        hint = f" (hyper.noise: {damage} is right)" if damage else ""
        raise UserError(
            f"params.yaml: experiments.{name}.task: {entry.task!r} is ranked by {task.objective}, which {entry.model} "
            f"cannot compute so configured{hint}; it can compute {', '.join(able) or 'nothing'}"
        )
    seeds = entry.seeds if isinstance(entry.seeds, int) else (entry.seeds or {}).get(params.budget)
    entry = entry.model_copy(update={"seeds": seeds})
    budget, modality = params.budgets[params.budget], params.datasets[entry.dataset].modality
    return Experiment(name, run_of(params), budget, entry, task, modality, kind, hyper, train)


def run_of(params: config.Params) -> config.Run:
    """What every stage that computes is run with."""
    return config.Run(**{key: getattr(params, key) for key in RUN})


def _fits(kind: type[Learner], entry: config.Entry, modality: str, task: config.Task, where: str) -> None:
    if not kind.candidate:
        able = ", ".join(name for name in models.names() if models.find(name).candidate)
        raise UserError(f"params.yaml: {where}.model: expected a model of data ({able}), got {entry.model!r}")
    if modality not in kind.modalities:
        able = ", ".join(kind.modalities)
        raise UserError(f"params.yaml: {where}.model: {entry.model!r} models {able}, but its data set is {modality}")
    if modality == "images" and (why := kind.why_unsupported(task.levels)):
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
    laid = apply_settings({"hyper": dict(hyper), "train": dict(train)}, overlay, where)
    for key in ("steps", "precision"):
        if key in laid["train"]:
            home = f"{where}.steps, a number for each budget" if key == "steps" else "precision, at the top"
            raise UserError(f"params.yaml: {where}.train.{key}: not set here but under {home}")
    rates = laid["train"].get("lr", {})
    default_rates = kind.defaults["lr"]  # player -> learning rate
    if not isinstance(rates, Mapping) or (unknown := sorted(rates.keys() - default_rates.keys())):
        wrong = repr(rates) if not isinstance(rates, Mapping) else ", ".join(unknown)
        allowed = ", ".join(default_rates) or "none: it is not trained by gradient descent"
        raise UserError(
            f"params.yaml: {where}.train.lr: {wrong}: wants a rate for a player of {model}; there are {allowed}"
        )
    raw = {**kind.defaults, **laid["train"], "lr": {**default_rates, **rates}}
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
        raise UserError(
            f"params.yaml: {where}.{phase}: no such phase; {config.suggest_names(phase, list(kind.phases))}"
        )
    return steps


def faults(params: config.Params) -> Iterator[str]:
    """Everything that is wrong in any experiment, search space or judge, a line each."""
    for name in params.experiments:
        yield from _entry_faults(params, name)
    for name in params.judges:
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
            one.defaults()
        except UserError as error:
            yield str(error)
        dataset = params.datasets[one.entry.dataset]
        if (spec := feasibility.spec_of(one, dataset)) is not None:
            yield from feasibility.faults(one, spec, feasibility.rows_of(one, dataset))


def judge(params: config.Params, dataset: str) -> tuple[type[Learner], Hyper, config.Train]:
    """Class, configuration and training of a data set's judge."""
    entry = params.judges[dataset]
    return learner(params, entry.model, entry.hyper, entry.train, dict(entry.steps), f"judges.{dataset}", {})
