"""Resolve params.yaml into classes, configurations and experiments; nothing below this file sees a dict.

The stage `plan` and the commands call it; every other stage reads its unit of the plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genfoundry import config, models, paths
from genfoundry.config.load import read_params
from genfoundry.errors import UserError
from genfoundry.evaluation.objectives import computable_objectives, objectives
from genfoundry.training.experiment import Experiment, apply_settings
from pipeline.orchestration import feasibility
from pipeline.orchestration.reserved_folders import find_misplaced

if TYPE_CHECKING:
    from genfoundry.models.base import Hyper, Learner

PARAMS = paths.PARAMS
RUN = ("seed", "threads", "device", "precision", "arithmetic")


def load_params(path: Path = PARAMS) -> config.Params:
    """Read params.yaml and check its keys, types, references and paths; models are not imported.

    Raises:
        UserError: a line for each fault.
    """
    params = read_params(path)
    raws = {
        name: data.raw if isinstance(data.raw, str) else data.raw.model_dump() for name, data in params.datasets.items()
    }
    # Faults are collected, so that a user sees all of them at once.
    faults = list(find_misplaced(raws, path.resolve().parent))
    for name, task in params.tasks.items():
        if task.objective not in objectives():
            allowed = config.suggest_names(task.objective, list(objectives()))
            faults.append(f"tasks.{name}.objective: {task.objective!r} is not known; {allowed}")
        elif task.direction != (right := objectives()[task.objective].direction):
            faults.append(f"tasks.{name}.direction: {task.direction!r}, but {task.objective} is to {right}")
    # By the names of files: importing a model would import torch, which takes seconds.
    used = {f"experiments.{n}.model": e.model for n, e in params.experiments.items()}
    used |= {f"judges.{name}.model": judge.model for name, judge in params.judges.items()}
    for key, model in used.items():
        if model not in models.names():
            faults.append(f"{key}: {model!r} is not known; {config.suggest_names(model, models.names())}")
    if faults:
        raise UserError("\n".join(f"{path.name}: {fault}" for fault in faults))
    return params


def load_experiment(name: str, path: Path = PARAMS, overlay: Mapping[str, Any] | None = None) -> Experiment:
    """Return the experiment `name`, with `overlay`'s dotted keys (a tuning's result) values over its entry.

    Raises:
        UserError: anything in it is wrong; one line a fault.
    """
    return resolve_experiment(load_params(path), name, overlay or {})


def resolve_experiment(params: config.Params, name: str, overlay: Mapping[str, Any]) -> Experiment:
    """Return the experiment `name` of parameters that were read already; see `load_experiment`."""
    if name not in params.experiments:
        allowed = config.suggest_names(name, list(params.experiments))
        raise UserError(f"params.yaml: experiments: expected the name of one, got {name!r}; {allowed}")
    entry = params.experiments[name]
    task = params.tasks[entry.task]
    _check_fit(models.find(entry.model), entry, params.datasets[entry.dataset].modality, task, f"experiments.{name}")
    kind, hyper, train = resolve_learner(
        params, entry.model, entry.hyper, entry.train, entry.steps, f"experiments.{name}", overlay
    )
    if entry.data.streams is not None and not hasattr(kind, "stream"):
        raise UserError(
            f"params.yaml: experiments.{name}.data.streams: {entry.data.streams}: {entry.model} carries no state along "
            "a text; leave data.streams out"
        )
    # What a model can compute may depend on its configuration, such as on the kind of noise that it removes.
    able = computable_objectives(kind, params.datasets[entry.dataset].modality, hyper)
    if task.objective not in able:
        from genfoundry.evaluation.inverse_problem import RESTORED  # for the message alone

        damage = RESTORED.get(task.objective) if hasattr(kind, "restore") else None
        hint = f" (it could with hyper.noise: {damage})" if damage else ""
        raise UserError(
            f"params.yaml: experiments.{name}.task: {entry.task!r} is ranked by {task.objective}, which {entry.model} "
            f"cannot compute so configured{hint}; it can compute {', '.join(able) or 'nothing'}"
        )
    seeds = entry.seeds if isinstance(entry.seeds, int) else (entry.seeds or {}).get(params.budget)
    # From here on a number, of this budget; budgets may ask for different ones.
    entry = entry.model_copy(update={"seeds": seeds})
    budget, modality = params.budgets[params.budget], params.datasets[entry.dataset].modality
    return Experiment(name, select_run(params), budget, entry, task, modality, kind, hyper, train)


def select_run(params: config.Params) -> config.Run:
    """Return the settings that every stage is run with which computes."""
    return config.Run(**{key: getattr(params, key) for key in RUN})


def _check_fit(kind: type[Learner], entry: config.Entry, modality: str, task: config.Task, where: str) -> None:
    if not kind.candidate:
        able = ", ".join(name for name in models.names() if models.find(name).candidate)
        raise UserError(f"params.yaml: {where}.model: expected a model of data ({able}), got {entry.model!r}")
    if modality not in kind.modalities:
        able = ", ".join(kind.modalities)
        raise UserError(f"params.yaml: {where}.model: {entry.model!r} models {able}, but its data set is {modality}")
    if modality == "images" and (why := kind.why_unsupported(task.levels)):
        raise UserError(f"params.yaml: {where}.model: {entry.model!r} cannot model task {entry.task!r}: {why}")


def resolve_learner(
    params: config.Params,
    model: str,
    hyper: Mapping[str, Any],
    train: Mapping[str, Any],
    steps: Mapping[str, config.Steps],
    where: str,
    overlay: Mapping[str, Any],
) -> tuple[type[Learner], Hyper, config.Train]:
    """Return class, configuration and training of a model's entry (an experiment's or a judge's).

    Raises:
        UserError: a key or value that the model does not take.
    """
    kind = models.find(model)
    values = apply_settings({"hyper": dict(hyper), "train": dict(train)}, overlay, where)
    # `config.Train` has both as fields, since the loop reads them there; in params.yaml each has one place of its own.
    for key in ("steps", "precision"):
        if key in values["train"]:
            home = f"{where}.steps, a number for each budget" if key == "steps" else "precision, at the top"
            raise UserError(f"params.yaml: {where}.train.{key}: not set here but under {home}")
    rates = values["train"].get("lr", {})
    default_rates = kind.defaults["lr"]  # player -> learning rate
    if not isinstance(rates, Mapping) or (unknown := sorted(rates.keys() - default_rates.keys())):
        wrong = repr(rates) if not isinstance(rates, Mapping) else ", ".join(unknown)
        allowed = ", ".join(default_rates) or "none: it is not trained by gradient descent"
        raise UserError(
            f"params.yaml: {where}.train.lr: expected a learning rate for players of {model} ({allowed}), got {wrong}"
        )
    # Later ones win: the model's defaults, the entry's values, then what the budget and the top of params.yaml say.
    raw = {**kind.defaults, **values["train"], "lr": {**default_rates, **rates}}
    raw |= {"steps": _steps(kind, steps.get(params.budget, 0), f"{where}.steps.{params.budget}")}
    raw |= {"precision": params.precision}
    checked = config.check(kind.Config, values["hyper"], f"{where}.hyper")
    return kind, checked, config.check(config.Train, raw, f"{where}.train")


def _steps(kind: type[Learner], steps: config.Steps, where: str) -> dict[str, int]:
    if isinstance(steps, int):
        if steps and len(kind.phases) > 1:
            raise UserError(
                f"params.yaml: {where}: expected steps for each phase ({', '.join(kind.phases)}), got {steps}"
            )
        return {kind.phases[0]: steps}
    for phase in steps.keys() - set(kind.phases):
        raise UserError(
            f"params.yaml: {where}.{phase}: no such phase; {config.suggest_names(phase, list(kind.phases))}"
        )
    return steps


def find_faults(params: config.Params) -> Iterator[str]:
    """Yield a line for everything that is wrong in any experiment, search space or judge."""
    for name in params.experiments:
        yield from _find_entry_faults(params, name)
    for name in params.judges:
        try:
            resolve_judge(params, name)
        except UserError as error:
            yield str(error)


def _find_entry_faults(params: config.Params, name: str) -> Iterator[str]:
    try:
        experiment = resolve_experiment(params, name, {})
    except UserError as error:
        yield str(error)
        return
    clean = True
    for key, space in experiment.entry.search.items():
        # A bound that the model refuses would otherwise fail hours later, in the trial that happens to draw it.
        for bound in space.bounds():
            try:
                resolve_experiment(params, name, {key: bound})
            except UserError as error:
                clean = False
                yield f"{error} (a bound of experiments.{name}.search.{key})"
    # Feasibility builds the model, which takes settings that were found valid.
    if clean:
        try:
            experiment.defaults()
        except UserError as error:
            yield str(error)
        dataset = params.datasets[experiment.entry.dataset]
        if (spec := feasibility.predict_spec(experiment, dataset)) is not None:
            yield from feasibility.find_faults(experiment, spec, feasibility.count_rows(experiment, dataset))


def resolve_judge(params: config.Params, dataset: str) -> tuple[type[Learner], Hyper, config.Train]:
    """Return class, configuration and training of a data set's judge."""
    entry = params.judges[dataset]
    return resolve_learner(params, entry.model, entry.hyper, entry.train, dict(entry.steps), f"judges.{dataset}", {})
