"""`make plan`: check params.yaml and print what would run at the chosen budget, and for how long."""

from pathlib import Path

from genfoundry import config, places, resolve
from genfoundry.checkpoint import read_json
from genfoundry.experiment import Experiment
from genfoundry.types import UserError

REFERENCE = Path(
    "bench/speed.json"
)  # seconds a step on two cores without a GPU, for a machine that has trained nothing yet
HEAD = ["experiment", "model", "data set", "task", "parameters", "trials", "steps", "training"]


def run() -> None:
    params = resolve.settings()
    if faults := list(resolve.faults(params)):
        raise UserError("\n".join(faults))
    table = [HEAD, *rows(params)]
    widths = [max(len(row[i]) for row in table) for i in range(len(HEAD))]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    share = params.budgets[params.budget].trial_share
    print(
        f"budget {params.budget}, seed {params.seed}, {params.threads} threads, {params.precision}, device "
        f"{params.device}; a trial trains {share:.0%} of the steps"
    )


def work(one: Experiment) -> int:
    """Training steps at the chosen budget, over all trials and seeds."""
    steps = sum(one.train.steps.values())
    return steps * len(one.keys) + one.trials * round(steps * one.budget.trial_share)


def expected(params: config.Params) -> dict[str, float]:
    """Experiment -> seconds that its trainings take at the chosen budget, as far as was measured."""
    pace: dict[str, float] = {}
    for path in (REFERENCE, places.SPEED):
        pace |= read_json(path) if path.exists() else {}
    return {name: pace[name] * work(resolve.resolve(params, name, {})) for name in params.experiments if name in pace}


def rows(params: config.Params) -> list[list[str]]:
    """A row an experiment: what will run at the chosen budget, and for how long as far as was measured."""
    here, seconds_of = read_json(places.SPEED) if places.SPEED.exists() else {}, expected(params)
    table = []
    for name, entry in params.experiments.items():
        one = resolve.resolve(params, name, {})
        steps = sum(one.train.steps.values())
        seconds = "not measured yet" if steps else "0 s"
        if name in seconds_of:
            seconds = f"{seconds_of[name]:.0f} s" + ("" if name in here else " on 2 cores")
        hyper = one.hyper.model_dump(exclude_unset=True)
        shown = ", ".join(f"{k}={v}" for k, v in hyper.items()) or "defaults"
        table.append([name, entry.model, entry.dataset, entry.task, shown, str(one.trials), str(steps), seconds])
    return table
