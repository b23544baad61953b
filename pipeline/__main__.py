"""The one entrance of stages and commands: `python -m pipeline STAGE PLAN [ARGUMENT...]`, `python -m pipeline COMMAND`.

Sets the environment that must stand before torch is imported, turns a user's mistake into one line and exit status 1,
and notes how long start-up and work took (in the file that GENFOUNDRY_TIMES names).
"""

from __future__ import annotations

import errno
import getpass
import importlib
import inspect
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from genfoundry.errors import UserError
from pipeline.orchestration.environment import QUIET, environment

STATUS = {errno.ENOSPC: "free some space", errno.EDQUOT: "free some space"}
STATUS |= dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "make it writable")
HERE = Path(__file__).parent
Times = tuple[float, float, float]  # seconds: start-up, work, and of the work for MLflow


def run_stage(stage: str, path: str, arguments: list[str]) -> Times:
    """Run a stage's unit, guarded against edits."""
    from pipeline.orchestration import integrity
    from pipeline.orchestration.unit import Unit

    unit = Unit.read(path)
    if unit.stage != stage:
        raise UserError(f"{path}: expected a unit of the stage {stage}, got one of {unit.stage}")
    missing = next((name for name in unit.inputs if not Path(name).exists()), "")
    if missing and stage != "report" and not arguments:  # which shows what there is, as an early decision takes it
        raise UserError(f"{missing}: not there; `dvc repro {unit.key}` makes it first")
    os.environ.update(environment(unit.settings.get("run", {})))
    if not unit.outputs:  # it promises nothing, and mostly finds nothing to do
        return timed(stage, (unit, *arguments))
    with integrity.guard(unit, Path()) as digest:  # from before the stage's modules are read
        from pipeline.orchestration import engine

        given = {"engine": engine.choose, "state": lambda: integrity.state_folder(unit, digest, Path())}
        return timed(stage, (unit, *arguments), given)


def timed(
    stage: str, arguments: tuple[Any, ...], given: Mapping[str, Callable[[], Any]] = MappingProxyType({})
) -> Times:
    """Import and run a stage with what its signature asks for.

    Raises:
        SystemExit: its number of arguments is wrong.
    """
    run = importlib.import_module(f"pipeline.stages.{stage}").run
    asked = inspect.signature(run).parameters
    kwargs = {name: make() for name, make in given.items() if name in asked}
    _check_number(stage, run, arguments, kwargs)
    startup, began = born(), time.perf_counter()
    extra = run(*arguments, **kwargs) or 0.0
    return startup, time.perf_counter() - began, extra


def run_command(command: str, arguments: list[str]) -> None:
    """Run a command.

    Raises:
        SystemExit: its number of arguments is wrong.
    """
    run = importlib.import_module(f"pipeline.commands.{command}").run
    _check_number(command, run, arguments, {})
    run(*arguments)


def _check_number(name: str, run: Callable[..., Any], arguments: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    try:
        inspect.signature(run).bind(*arguments, **kwargs)
    except TypeError as error:
        print(f"genfoundry {name}: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def born() -> float:
    """Seconds since this process started (Linux; elsewhere since Python did)."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError):
        return time.process_time()


def name_user() -> None:
    """Name a user id that the system has no name for, as in a container: DVC and MLflow fail without one."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["USER"] = f"uid-{os.getuid()}"


def note(stage: str, startup: float, work: float) -> None:
    """One JSON line a stage, for `make repro` to add up."""
    if path := os.environ.get("GENFOUNDRY_TIMES"):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"stage": stage, "startup": startup, "work": work, "end": time.time()}) + "\n")


def names(folder: str) -> list[str]:
    """The modules of stages or commands."""
    return sorted(path.stem for path in (HERE / folder).glob("[a-z]*.py") if path.stem != "tune")  # a part of `train`


def dispatch(name: str, arguments: list[str]) -> int:
    """Run a stage or a command; 2 where there is no such one, or it is called wrongly."""
    if name == "plan" and not arguments:
        note("plan", *_without_mlflow(timed("plan", ())))
    elif name in names("stages"):
        if not arguments:
            print(f"genfoundry {name}: expected python -m pipeline {name} build/plan/{name}/NAME.json", file=sys.stderr)
            return 2
        note(label_of(name, arguments), *_without_mlflow(run_stage(name, arguments[0], arguments[1:])))
    elif name in names("commands"):
        os.environ.update(QUIET)
        run_command(name, arguments)
    else:
        there = ", ".join([*names("stages"), *names("commands")])
        print(f"genfoundry: {name!r} is no stage or command; expected one of {there}", file=sys.stderr)
        return 2
    return 0


def label_of(name: str, arguments: list[str]) -> str:
    """DVC's name of the unit of a plan's file (`train@vae-fashion`); else the stage's or command's own."""
    unit = Path(arguments[0]) if arguments else Path()
    return f"{name}@{unit.stem}" if unit.parent.name == name else name


def _without_mlflow(times: Times) -> tuple[float, float]:
    startup, work, extra = times
    return startup + extra, work - extra


def main(argv: list[str]) -> int:
    """Run one stage or command; 1 on a user's mistake, said in one line."""
    name, *arguments = argv or ["?"]
    name_user()
    os.environ.pop("DVC_STAGE", None)  # not for what the stage itself starts
    os.environ.pop("MLFLOW_RUN_ID", None)  # `mlflow run` sets it, and every stage would join that one run
    os.environ.update(QUIET)
    label = label_of(name, arguments)
    try:
        return dispatch(name, arguments)
    except UserError as error:
        for line in str(error).splitlines():
            print(f"genfoundry {label}: {line}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever read the output (`| head`) has seen enough; what is left of it goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        if error.errno not in STATUS:
            raise
        where = f"{error.filename}: " if error.filename else ""  # a failed write does not know its file
        print(f"genfoundry {label}: {where}{error.strerror}; {STATUS[error.errno]}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"genfoundry {label}: interrupted; run it again to go on from the last checkpoint", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
