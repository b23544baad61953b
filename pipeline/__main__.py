"""The entrance of DVC's stages: `python -m pipeline STAGE PLAN [ARGUMENT...]`; commands are in cli.py.

Sets the environment that must stand before torch is imported, and notes how long start-up and work took (in the file
that GENFOUNDRY_TIMES names).
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from genfoundry.errors import UserError
from pipeline.orchestration import process
from pipeline.orchestration.environment import environment

STAGES = Path(__file__).parent / "stages"


def run_stage(stage: str, arguments: list[str]) -> int | None:
    """Run the unit of a plan's file, guarded against edits while it runs; the stage `plan` has none yet."""
    if stage == "plan" and not arguments:
        return call_stage(stage, [], {})
    if not arguments:
        print(f"genfoundry {stage}: expected python -m pipeline {stage} build/plan/{stage}/NAME.json", file=sys.stderr)
        return 2
    from pipeline.orchestration import integrity, skipped_units
    from pipeline.orchestration.unit import Unit

    path, *more = arguments
    unit = Unit.read(path)
    if unit.stage != stage:
        raise UserError(f"{path}: expected a unit of the stage {stage}, got one of {unit.stage}")
    missing = next((name for name in unit.inputs if not Path(name).exists()), "")
    if missing and stage != "report" and not more:  # which shows what there is, as an early decision takes it
        raise UserError(f"{missing}: not there; `dvc repro {unit.key}` makes it first")
    if skipped_units.is_skipped(unit):
        skipped_units.write_empty_outputs(unit, Path())
        print(f"{unit.key} is skipped: {unit.settings['skipped']}")
        return None
    os.environ.update(environment(unit.settings.get("run", {})))
    if not unit.outputs:  # it promises nothing, and mostly finds nothing to do
        return call_stage(stage, [unit, *more], {}, unit.key)
    with integrity.guard(unit, Path()) as digest:  # from before the stage's modules are read
        from pipeline.orchestration import engine

        given = {"engine": engine.choose, "state": lambda: integrity.state_folder(unit, digest, Path())}
        return call_stage(stage, [unit, *more], given, unit.key)


def call_stage(stage: str, arguments: list[Any], given: dict[str, Callable[[], Any]], key: str = "plan") -> int | None:
    """Import and run a stage with what its signature names of `given`; 2 where its number of arguments is wrong."""
    run = importlib.import_module(f"pipeline.stages.{stage}").run
    signature = inspect.signature(run)
    kwargs = {name: make() for name, make in given.items() if name in signature.parameters}
    try:
        signature.bind(*arguments, **kwargs)
    except TypeError as error:
        print(f"genfoundry {stage}: {error}", file=sys.stderr)
        return 2
    startup, began = seconds_since_start(), time.perf_counter()
    mlflow = run(*arguments, **kwargs) or 0.0  # seconds of its work that went to MLflow
    note_times(key, startup + mlflow, time.perf_counter() - began - mlflow)
    return None


def seconds_since_start() -> float:
    """Seconds since this process started (Linux; elsewhere since Python did)."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError):
        return time.process_time()


def note_times(key: str, startup: float, work: float) -> None:
    """Append one JSON line a stage, for `genfoundry repro` to add up."""
    if path := os.environ.get("GENFOUNDRY_TIMES"):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"stage": key, "startup": startup, "work": work, "end": time.time()}) + "\n")


def main(argv: list[str]) -> int:
    """Run one stage and return the exit status: 1 on a user's error, 2 where it is called wrongly."""
    name, *arguments = argv or ["--help"]
    stages = sorted(path.stem for path in STAGES.glob("[a-z]*.py") if path.stem != "tune")  # a part of `train`
    if name in stages and not any(text.startswith("-") for text in arguments):  # `plan --help` is a command's
        plan = Path(arguments[0]) if arguments else Path()
        label = f"{name}@{plan.stem}" if plan.parent.name == name else name  # DVC's name of the unit
        return process.run(label, lambda: run_stage(name, arguments))
    from pipeline import cli

    if name in cli.COMMANDS or name.startswith("-"):
        return cli.main(argv)
    print(
        f"genfoundry: {name!r} is no stage or command; expected one of {', '.join([*stages, *cli.COMMANDS])}",
        file=sys.stderr,
    )
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
