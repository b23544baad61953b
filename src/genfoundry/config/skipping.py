"""What the chosen budget skips: experiments that declare steps for other budgets alone, and what is only for them."""

from __future__ import annotations

from collections.abc import Mapping

from genfoundry.config.experiment_schema import Params


def find_skipped(params: Params) -> Mapping[str, Mapping[str, str]]:
    """Return section of params.yaml -> entry -> why the chosen budget skips it.

    An experiment is skipped that declares steps, but none for the budget; a model fitted in closed form declares none
    at all. A task is skipped with the last of its experiments, and a judge with the last task on its data set.
    """
    experiments = {
        name: f"no steps declared at {params.budget}"
        for name, entry in params.experiments.items()
        if entry.steps and params.budget not in entry.steps
    }
    entries_of = {task: {n for n, e in params.experiments.items() if e.task == task} for task in params.tasks}
    tasks = {
        name: f"none of its experiments has steps at {params.budget}"
        for name, entries in entries_of.items()
        if entries and entries <= experiments.keys()
    }
    tasks_of = {data: {n for n, task in params.tasks.items() if task.dataset == data} for data in params.judges}
    judges = {
        name: f"no task of its data set runs at {params.budget}"
        for name, of_data in tasks_of.items()
        if of_data and of_data <= tasks.keys()
    }
    return {"experiments": experiments, "tasks": tasks, "judges": judges}
