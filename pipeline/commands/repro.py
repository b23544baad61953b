"""`make repro`: check params.yaml, run what is due, bring MLflow up to date, say where the time went."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from genfoundry import config, paths, shell
from genfoundry.config.load import read
from genfoundry.errors import UserError
from genfoundry.tracking import client
from pipeline.commands import show_plan
from pipeline.orchestration import dag, dvc_lock, engine, inbox, run_lock, scheduler, slots, sources
from pipeline.orchestration.unit import Unit, read_all
from pipeline.stages import plan

HERE = Path()
TIMES = paths.STAGE_TIMES
PLAN = "pipeline/dvc.yaml:plan"
MOST = 1000  # jobs at once


@dataclass(frozen=True)
class Options:
    """What a person asks for; `targets` are DVC's and go to plain `dvc repro`."""

    jobs: int | None = None
    engine: str = ""
    task: str = ""
    experiment: str = ""
    targets: tuple[str, ...] = ()


def run(*argv: str) -> None:
    options, began = read_options(argv), time.perf_counter()
    with run_lock.hold(HERE):
        params = check()
        select_units(read_all(HERE), options)  # a name that is none is refused before a cluster is started
        with engine.start(options.engine, params, HERE) as started:
            at_once = allot(params, options.jobs, started.room)
            checked = time.perf_counter()
            env = {"GENFOUNDRY_TIMES": str(TIMES.resolve()), "PYTHONPATH": "src", plan.SAID: "1", **started.env}
            failed = bring_up_to_date(params, options, at_once, env)
        ran = time.perf_counter()
        dvc_lock.sort_stages(HERE, read_all(HERE))
        if failed:
            raise UserError("what was finished is kept; run it again to go on")
        fault = publish()
    split(checked - began, ran - checked, time.perf_counter() - ran, 1 if options.targets else len(at_once))
    board = paths.LEADERBOARD[1]
    if board.exists() and not (options.task or options.experiment):
        print(board.read_text(encoding="utf-8"), flush=True)
    if fault:
        print(f"genfoundry repro: {fault}", file=sys.stderr)


def read_options(argv: Sequence[str]) -> Options:
    """The command line.

    Raises:
        UserError: an option has no value, or a wrong one.
    """
    given: dict[str, str] = {}
    targets: list[str] = []
    words = iter(argv)
    for word in words:
        if word not in ("--jobs", "--engine", "--task", "--experiment"):
            targets.append(word)
        elif not (value := next(words, "")):
            raise UserError(f"{word}: expected a value, got none")
        else:
            given[word[2:]] = value
    number = given.pop("jobs", None)
    if number is not None and not (number.isdecimal() and number.isascii() and 1 <= int(number) <= MOST):
        raise UserError(f"--jobs: expected a whole number of jobs from 1 to {MOST}, got {number!r} (make repro JOBS=2)")
    return Options(int(number) if number else None, targets=tuple(targets), **given)


def check() -> config.Params:
    """Everything that can be seen to be wrong before anything runs; what went missing of inboxes is brought back.

    Raises:
        UserError: something is wrong.
    """
    shell.check_repository(HERE)
    shell.check_versioned(HERE)
    try:
        show_plan.run()
    except UserError as error:
        raise UserError(f"{error}\nnothing was run") from None
    params = read(HERE / paths.PARAMS)
    for name in params.datasets:
        if message := inbox.restore(HERE, name):
            print(f"genfoundry repro: {message}", file=sys.stderr)
    TIMES.parent.mkdir(exist_ok=True)
    TIMES.unlink(missing_ok=True)
    client.forget_failure(HERE)
    return params


def compile_plan(env: Mapping[str, str]) -> None:
    """Run the stage `plan`; it says itself what it finds, and DVC what is wrong.

    Raises:
        UserError: it failed.
    """
    command = (*dag.DVC, "repro", PLAN)
    if subprocess.run(command, cwd=HERE, env={**os.environ, **env}, stdout=subprocess.DEVNULL).returncode:
        raise UserError("the plan could not be made, see above; nothing was run")


def allot(run: config.Run, wanted: int | None, room: int | None) -> list[dict[str, str]]:
    """A slot for each of the jobs at once: this machine's, or as many as have room where an engine does the work."""
    if room is not None:
        return [{} for _ in range(wanted or room)]
    if warning := slots.crowded(run, wanted):
        print(f"genfoundry repro: {warning}", file=sys.stderr)
    return slots.local(run, wanted)


def bring_up_to_date(
    params: config.Params, options: Options, at_once: Sequence[Mapping[str, str]], env: dict[str, str]
) -> bool:
    """Run the plan, then what is due; whether anything failed."""
    compile_plan(env)
    pull_away(params)
    if options.targets:
        return shell.show(*dag.DVC, "repro", *options.targets, root=HERE, env=env) != 0
    units = select_units(read_all(HERE), options)
    always = {f"register@{options.task}" if options.task else "register"}
    seconds = {f"train@{name}": value for name, value in show_plan.expected(units).items()}
    jobs = dag.jobs(units, dag.find_due(HERE) | always, seconds)
    out = scheduler.run(jobs, at_once, HERE, env)
    if len(at_once) > 1 and out.spans:
        print(f"{len(at_once)} jobs at once: busy {out.busy(len(at_once)):.0%} of the time")
    if out.failed:
        show_failures(out)
        if tasks := dag.find_measured(units, jobs, {*out.failed, *out.left}):
            register = (sys.executable, "-m", "pipeline", "register", paths.plan("register").as_posix())
            shell.show(*register, *tasks, root=HERE, env=env)
    return bool(out.failed)


def select_units(units: dict[str, Unit], options: Options) -> dict[str, Unit]:
    """The units that a task or an experiment needs, else all, with the decision of a task as a unit of its own.

    Raises:
        UserError: there is no such task or experiment.
    """
    if options.experiment and f"evaluate@{options.experiment}" not in units:
        names = [unit.name for unit in units.values() if unit.stage == "evaluate"]
        allowed = config.alternatives(options.experiment, names)
        raise UserError(f"params.yaml: experiments: {options.experiment!r} is not there; {allowed}")
    if decision := dag.find_decision(units, options.task):
        units = {**units, decision.key: decision}
    targets = [f"register@{options.task}"] if options.task else []
    targets += [f"evaluate@{options.experiment}"] if options.experiment else []
    selected = dag.select(dag.find_needs(units), targets or list(units))
    return {key: unit for key, unit in units.items() if key in selected}


def pull_away(params: config.Params) -> None:
    """Bring the copy that DVC has of a source that is away into the workspace, where it is not there."""
    for status in sources.check_all(HERE, params):
        if status.state == "away" and not paths.raw(status.name).exists():
            shell.ask(*dag.DVC, "pull", "--allow-missing", f"fetch@{status.name}", root=HERE, check=False)


def show_failures(out: scheduler.Outcome) -> None:
    """Every failed job with its reason, and what was not run for want of it."""
    for name, reason in out.failed.items():
        print(f"genfoundry repro: {name} failed: {reason}", file=sys.stderr)
    if out.left:
        print(f"genfoundry repro: for want of it, not run: {', '.join(sorted(out.left))}", file=sys.stderr)


def publish() -> str:
    """Render the pages and bring MLflow up to date; the line that says why it is left out. It fails no run."""
    from genfoundry.reporting import site
    from genfoundry.tracking import publish
    from genfoundry.tracking.store_errors import StoreError

    site.render(HERE)  # a stage that DVC restored has not rendered it, and promotions come after the report
    try:
        publish.update(HERE)
    except StoreError as error:
        return str(error)
    return ""


def split(check: float, dvc: float, publish: float, at_once: int) -> None:
    """Where the time went, and when the first champion stood; with jobs at once, stages took `at_once` times `dvc`."""
    rows = [json.loads(line) for line in TIMES.read_text().splitlines()] if TIMES.exists() else []
    work, startup = sum(r["work"] for r in rows), sum(r["startup"] for r in rows)
    wall, total = check + dvc + publish, check + dvc * at_once + publish
    overhead, rest = total - work, dvc * at_once - work - startup
    for row in sorted(rows, key=lambda r: -r["work"])[:12]:
        print(f"  {row['stage']:34} work {row['work']:7.1f} s   start-up {row['startup']:5.1f} s")
    beside = f", {at_once} jobs at once, {total:.0f} s of theirs" if at_once > 1 else ""
    idle = "DVC and waiting" if at_once > 1 else "DVC"
    print(
        f"{wall:.0f} s in all{beside}: work {work:.0f} s; start-up {overhead:.0f} s = {overhead / total:.0%} "
        f"(imports {startup:.0f}, {idle} {rest:.0f}, MLflow {publish:.0f}, check {check:.0f})"
    )
    first = min((row["end"] for row in rows if row["stage"] == "register"), default=0.0)
    if first and paths.LEDGER.exists():
        print(f"first promotion decided after {first - (time.time() - wall):.0f} s", file=sys.stderr)
