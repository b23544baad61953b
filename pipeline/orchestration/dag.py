"""The graph of the plan's units, and jobs: a job is the row of units that one `dvc repro` process brings up to date."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter
from pathlib import Path, PurePath

from genfoundry import config, paths
from genfoundry.console import shell
from genfoundry.errors import UserError
from pipeline.orchestration import skipped_units
from pipeline.orchestration.unit import Unit

SECONDS = 3.0  # that a unit is expected to take of which nothing is known: mostly its imports
DVC = (sys.executable, "-m", "dvc")
REPRO = (*DVC, "--wait-for-lock", "repro", "--single-item")  # DVC's own lock is held for moments, not for a command
GROUPS = {"fetch": "data", "prepare": "data", "validate": "data", "train": "experiment", "evaluate": "experiment"}
RESULTS = dict.fromkeys(("rank", "register", "report"), "results")  # the stages that there is one of


@dataclass(frozen=True)
class Job:
    """`needs` are names of jobs, `seconds` what it is expected to take. The first champion waits for what `leads`."""

    name: str
    command: tuple[str, ...]
    needs: frozenset[str] = frozenset()
    seconds: float = SECONDS
    leads: bool = False
    units: tuple[str, ...] = ()


def make_jobs(units: Mapping[str, Unit], due: Collection[str], seconds: Mapping[str, float]) -> dict[str, Job]:
    """Make the jobs that bring the units `due`, and all that depends on them, up to date.

    `seconds` are expected for a unit. Units come in an order in which each follows what it needs (the plan's).
    """
    needs = find_needs(units)
    wanted = {key for key, unit in units.items() if key in due or _find_tracked(unit, due)}
    # `dvc status` compares with the files as they are now: what a due unit is about to change does not show yet.
    for key in TopologicalSorter(needs).static_order():
        if needs[key] & wanted:
            wanted.add(key)
    rows: dict[str, list[str]] = {}
    for key in (key for key in units if key in wanted):
        # The units of a data set, or of an experiment, share a process: each start of DVC takes seconds.
        rows.setdefault(_name_job(units[key]), []).append(key)
    home = {key: name for name, row in rows.items() for key in row}
    first = next((key for key in wanted if _decides(units[key])), None)
    leading = select(needs, [first]) if first else set()
    return {
        name: Job(
            name,
            _make_command(units, row, due),
            frozenset(home[need] for key in row for need in needs[key] if need in home) - {name},
            sum(seconds.get(key, SECONDS) for key in row),
            not leading.isdisjoint(row),
            tuple(row),
        )
        for name, row in rows.items()
    }


def find_due(root: Path) -> set[str]:
    """Return DVC's names of what differs from dvc.lock in command, dependencies or outs, inboxes' .dvc files included.

    What only always runs is not among them, nor what depends on one that is.
    """
    status = json.loads(shell.ask(*DVC, "status", "--json", root=root))
    return {name for name, changes in status.items() if changes != ["always changed"]}


def find_decision(units: Mapping[str, Unit], task: str = "") -> Unit | None:
    """Return the unit that ranks and decides one task alone, as soon as its models are measured (the first by default).

    Raises:
        UserError: params.yaml has no such task.
    """
    tasks = skipped_units.select_running(units, "baseline")
    if task and f"baseline@{task}" in units and task not in tasks:
        raise UserError(f"params.yaml: tasks.{task}: skipped: {units[f'baseline@{task}'].settings['skipped']}")
    if task and task not in tasks:
        raise UserError(
            f"params.yaml: tasks: expected the name of one, got {task!r}; {config.suggest_names(task, tasks)}"
        )
    if not tasks:
        return None
    name = task or tasks[0]
    dataset = units["register"].settings["tasks"][name]["dataset"]
    inputs = (paths.scores(dataset).as_posix(), paths.baselines(name).as_posix())
    # The same plan file and rule, fewer inputs: it need not wait until the other tasks are measured.
    return replace(units["register"], name=name, inputs=inputs)


def find_measured(units: Mapping[str, Unit], jobs: Mapping[str, Job], lost: Collection[str]) -> list[str]:
    """Return the tasks that have new measurements and lack none, although the jobs `lost` failed."""
    missing = {key for name in lost for key in jobs[name].units}
    ran = {key for job in jobs.values() for key in job.units} - missing
    tasks = []
    for task in skipped_units.select_running(units, "baseline") if "register" in units else ():
        decision = find_decision(units, task)
        assert decision is not None
        needed = select(find_needs({**units, decision.key: decision}), [decision.key]) - {decision.key}
        if needed & ran and not needed & missing:
            tasks.append(task)
    return tasks


def find_needs(units: Mapping[str, Unit]) -> dict[str, set[str]]:
    """Return, for each unit, those that write a path that it reads, a folder around it, or something within it."""
    writers: dict[PurePath, set[str]] = {}
    inside: dict[PurePath, set[str]] = {}  # folder -> who writes in it, or it
    for key, unit in units.items():
        for out in map(PurePath, unit.outputs):
            writers.setdefault(out, set()).add(key)
            for folder in (out, *out.parents):
                inside.setdefault(folder, set()).add(key)
    needs: dict[str, set[str]] = {}
    for key, unit in units.items():
        reads = [PurePath(path) for path in unit.inputs]
        needs[key] = set().union(*(inside.get(path, set()) for path in reads))
        needs[key] |= set().union(*(writers.get(folder, set()) for path in reads for folder in path.parents))
        needs[key] |= {other for other in units if _decides(units[other]) and key == "register"}  # one ledger
        needs[key].discard(key)
    return needs


def select(needs: Mapping[str, Collection[str]], targets: Collection[str]) -> set[str]:
    """Return the targets and all that they need, directly or not."""
    selected: set[str] = set()
    todo = set(targets)
    while todo:
        key = todo.pop()
        selected.add(key)
        todo |= set(needs[key]) - selected
    return selected


def _decides(unit: Unit) -> bool:
    return unit.stage == "register" and unit.name != ""


def _name_job(unit: Unit) -> str:
    if skipped_units.is_skipped(unit):  # those of a data set at once: DVC's start is all that they take
        return f"skipped@{unit.settings['dataset']}"
    return f"{GROUPS.get(unit.stage, unit.stage)}@{unit.name}" if unit.name else RESULTS.get(unit.stage, unit.stage)


def _make_command(units: Mapping[str, Unit], row: list[str], due: Collection[str]) -> tuple[str, ...]:
    unit = units[row[0]]
    if _decides(unit):
        # A decision about one task is no stage of dvc.yaml: it runs without DVC.
        return (sys.executable, "-m", "pipeline", "register", paths.plan("register").as_posix(), unit.name)
    return (*REPRO, *(path for key in row for path in _find_tracked(units[key], due)), *row)


def _find_tracked(unit: Unit, due: Collection[str]) -> list[str]:
    """Return the .dvc files of a unit's inputs (its inbox) that are out of date."""
    return [f"{path}.dvc" for path in unit.inputs if f"{path}.dvc" in due]
