"""`genfoundry plan`: check params.yaml and print what would run at the chosen budget, and for how long."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from genfoundry import config, paths
from genfoundry.config.load import read_params
from genfoundry.files import read_json
from pipeline.orchestration import dvc_lock, skipped_units
from pipeline.orchestration.unit import Unit, read_all
from pipeline.stages import plan

HERE = Path()
REFERENCE = Path("bench/speed.json")  # seconds a step on two cores, for a machine that has trained nothing yet
SECTIONS = {"judge": "judges", "baseline": "tasks"}
HEAD = ["experiment", "model", "data set", "task", "parameters", "trials", "steps", "training"]


def run() -> None:
    """Compile the plan and print a row for each experiment, then what is due."""
    plan.run()
    params, units = read_params(HERE / paths.PARAMS), read_all(HERE)
    table = [HEAD, *table_rows(params, units)]
    widths = [max(len(row[i]) for row in table) for i in range(len(HEAD))]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for unit in units.values():
        if unit.stage in ("judge", "baseline") and skipped_units.is_skipped(unit):
            print(f"{SECTIONS[unit.stage]}.{unit.name}: skipped: {unit.settings['skipped']}")
    stale, share = dvc_lock.find_stale(HERE, units), params.budgets[params.budget].trial_share
    print(
        f"budget {params.budget}, seed {params.seed}, {params.threads} threads, {params.precision}, device "
        f"{params.device}; a trial trains {share:.0%} of the steps; {len(stale)} of {len(units)} units are not as "
        "dvc.lock has them" + (f": {', '.join(stale[:6])}{' ...' if len(stale) > 6 else ''}" if stale else "")
    )


def count_steps(unit: Unit) -> int:
    """Count the steps of one training, all its phases together."""
    return int(sum(unit.settings["train"]["steps"].values()))


def count_trials(unit: Unit) -> int:
    """Count the trials of a tuning; none where nothing is searched."""
    return int(unit.settings["budget"]["trials"]) if unit.settings["experiment"]["search"] else 0


def count_all_steps(unit: Unit) -> int:
    """Count the training steps over all trials and seeds."""
    steps, settings = count_steps(unit), unit.settings
    trial = round(steps * float(settings["budget"]["trial_share"]))
    return steps * int(settings["experiment"]["seeds"]) + count_trials(unit) * trial


def expected_seconds(units: Mapping[str, Unit]) -> dict[str, float]:
    """Estimate the seconds that an experiment's trainings take, by its name, as far as their pace was measured."""
    pace: dict[str, float] = {}
    # What this machine measured itself comes second, and wins.
    for path in (REFERENCE, paths.SPEED):
        pace |= read_json(path) if path.exists() else {}
    trainings = skipped_units.select_running(units, "train")
    return {name: pace[name] * count_all_steps(units[f"train@{name}"]) for name in trainings if name in pace}


def table_rows(params: config.Params, units: Mapping[str, Unit]) -> list[list[str]]:
    """Return a row for each experiment: what will run, and for how long as far as was measured."""
    measured, seconds = read_json(paths.SPEED) if paths.SPEED.exists() else {}, expected_seconds(units)
    table = []
    for name, entry in params.experiments.items():
        unit = units[f"train@{name}"]
        hyper = ", ".join(f"{key}={value}" for key, value in entry.hyper.items()) or "defaults"
        about = [name, entry.model, entry.dataset, entry.task, hyper]
        if skipped_units.is_skipped(unit):
            table.append([*about, "-", "-", f"skipped: {unit.settings['skipped']}"])
            continue
        steps, took = count_steps(unit), "not measured yet"
        if name in seconds:
            # An estimate from the committed reference says which machine it is of.
            took = f"{seconds[name]:.0f} s" + ("" if name in measured else " on 2 cores")
        took = took if steps else "0 s"
        table.append([*about, str(count_trials(unit)), str(steps), took])
    return table
