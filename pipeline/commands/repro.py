"""`genfoundry repro`: check params.yaml, run what is due, bring MLflow up to date, say where the time went."""

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from genfoundry import config, paths
from genfoundry.config.load import read_params
from genfoundry.console import shell
from genfoundry.errors import UserError
from genfoundry.tracking import client
from pipeline.commands import configure, show_plan
from pipeline.orchestration import dag, dvc_lock, engine, inbox, run_lock, scheduler, skipped_units, slots, sources
from pipeline.orchestration.unit import Unit, read_all
from pipeline.stages import plan

HERE = Path()
TIMES = paths.STAGE_TIMES
PLAN = "pipeline/dvc.yaml:plan"
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """What to run; `targets` are DVC's and go to plain `dvc repro`."""

    jobs: int | None = None
    engine: str = ""
    task: str = ""
    experiment: str = ""
    targets: Sequence[str] = ()


def run(budget: str = "", arithmetic: str = "", **options: object) -> None:
    """Run what is due; `budget` and `arithmetic` are written into params.yaml first.

    Raises:
        UserError: params.yaml is wrong, an option's value is none, or a stage failed.
    """
    for key, value in (("arithmetic", arithmetic), ("budget", budget)):
        if value:
            configure.change(HERE, key, value)
            print(f"params.yaml: {key} is {value} from now on (git diff params.yaml)")
    reproduce(Options(**options))  # type: ignore[arg-type]


def reproduce(options: Options) -> None:
    """Run what is due of the plan, then publish."""
    began = time.perf_counter()
    with run_lock.hold(HERE):
        params = check()
        select_units(read_all(HERE), options)  # a name that is none is refused before a cluster is started
        with engine.start(options.engine, params, HERE) as started:
            slots = allocate_slots(params, options.jobs, started.room)
            checked = time.perf_counter()
            # GENFOUNDRY_TIMES also tells the stages that MLflow is published once, at the end.
            env = {"GENFOUNDRY_TIMES": str(TIMES.resolve()), "PYTHONPATH": "src", plan.REPORTED: "1", **started.env}
            failed = bring_up_to_date(params, options, slots, env)
        ran = time.perf_counter()
        # Also after a failure: jobs end in any order, in which DVC has written their stages.
        dvc_lock.sort_stages(HERE, read_all(HERE))
        if failed:
            raise UserError("what was finished is kept; run it again to go on")
        fault = publish()
    now = time.perf_counter()
    print_times(checked - began, ran - checked, now - ran, 1 if options.targets else len(slots))
    board = paths.LEADERBOARD[1]
    if board.exists() and not (options.task or options.experiment):
        print(board.read_text(encoding="utf-8"), flush=True)
    if fault:
        logger.warning("%s", fault)


def check() -> config.Params:
    """Check everything that can be seen to be wrong before anything runs; bring back what went missing of inboxes.

    Raises:
        UserError: something is wrong.
    """
    shell.check_repository(HERE)
    shell.check_versioned(HERE)
    try:
        show_plan.run()
    except UserError as error:
        raise UserError(f"{error}\nnothing was run") from None
    params = read_params(HERE / paths.PARAMS)
    for name in params.datasets:
        if message := inbox.restore(HERE, name):
            logger.warning("%s", message)
    TIMES.parent.mkdir(exist_ok=True)
    # Stages append to the file: times of an earlier run would be added to this one's.
    TIMES.unlink(missing_ok=True)
    client.forget_failure(HERE)
    return params


def allocate_slots(run: config.Run, wanted: int | None, room: int | None) -> list[dict[str, str]]:
    """Return a slot for each job at once: this machine's, or as many as have room where an engine does the work."""
    if room is not None:
        return [{} for _ in range(wanted or room)]  # the cluster assigns GPUs itself
    if warning := slots.warn_if_crowded(run, wanted):
        logger.warning("%s", warning)
    return slots.allocate(run, wanted)


def bring_up_to_date(
    params: config.Params, options: Options, slots: Sequence[Mapping[str, str]], env: dict[str, str]
) -> bool:
    """Run the plan, then what is due; return whether anything failed.

    Raises:
        UserError: the plan could not be made.
    """
    command = (*dag.DVC, "repro", PLAN)  # the stage reports what it finds, and DVC what is wrong
    # Only standard error is shown: DVC's progress would repeat what the plan printed above.
    if subprocess.run(command, cwd=HERE, env={**os.environ, **env}, stdout=subprocess.DEVNULL).returncode:
        raise UserError("the plan could not be made, see above; nothing was run")
    pull_missing_sources(params)
    if options.targets:
        return shell.show(*dag.DVC, "repro", *options.targets, root=HERE, env=env) != 0
    units = select_units(read_all(HERE), options)
    # It has no outputs, so that DVC never lists it as changed.
    always = {f"register@{options.task}" if options.task else "register"}
    seconds = {f"train@{name}": value for name, value in show_plan.expected_seconds(units).items()}
    jobs = dag.make_jobs(units, dag.find_due(HERE) | always, seconds)
    outcome = scheduler.run(jobs, slots, HERE, env)
    if len(slots) > 1 and outcome.spans:
        print(f"{len(slots)} jobs at once: busy {outcome.busy(len(slots)):.0%} of the time")
    if outcome.failed:
        report_failures(outcome)
        # Tasks of which nothing failed are decided all the same: a broken experiment must not hold up the others.
        if tasks := dag.find_measured(units, jobs, {*outcome.failed, *outcome.left}):
            register = (sys.executable, "-m", "pipeline", "register", paths.plan("register").as_posix())
            shell.show(*register, *tasks, root=HERE, env=env)
    return bool(outcome.failed)


def select_units(units: dict[str, Unit], options: Options) -> dict[str, Unit]:
    """Return the units that a task or an experiment needs, else all, with the decision of a task as its own unit.

    Raises:
        UserError: there is no such task or experiment.
    """
    if options.experiment and f"evaluate@{options.experiment}" not in units:
        names = [unit.name for unit in units.values() if unit.stage == "evaluate"]
        allowed = config.suggest_names(options.experiment, names)
        raise UserError(f"params.yaml: experiments: expected the name of one, got {options.experiment!r}; {allowed}")
    if options.experiment and skipped_units.is_skipped(unit := units[f"evaluate@{options.experiment}"]):
        raise UserError(f"params.yaml: experiments.{unit.name}: skipped: {unit.settings['skipped']}")
    if decision := dag.find_decision(units, options.task):
        units = {**units, decision.key: decision}
    targets = [f"register@{options.task}"] if options.task else []
    targets += [f"evaluate@{options.experiment}"] if options.experiment else []
    selected = dag.select(dag.find_needs(units), targets or list(units))
    return {key: unit for key, unit in units.items() if key in selected}


def pull_missing_sources(params: config.Params) -> None:
    """Pull DVC's copy of each source that is away into the workspace, where it is not there."""
    for status in sources.check_all(HERE, params):
        if status.state == "away" and not paths.raw(status.name).exists():
            shell.ask(*dag.DVC, "pull", "--allow-missing", f"fetch@{status.name}", root=HERE, check=False)


def report_failures(outcome: scheduler.Outcome) -> None:
    """Log every failed job with its reason, and what was not run for want of it."""
    for name, reason in outcome.failed.items():
        logger.error("%s failed: %s", name, reason)
    if outcome.left:
        logger.error("for want of it, not run: %s", ", ".join(sorted(outcome.left)))


def publish() -> str:
    """Render the pages and bring MLflow up to date; return why that is left out, "" if it is not. It fails no run."""
    from genfoundry.reporting import site
    from genfoundry.tracking import publish
    from genfoundry.tracking.store_errors import StoreError

    site.render(HERE)  # a stage that DVC restored has not rendered it, and promotions come after the report
    try:
        publish.update(HERE)
    except StoreError as error:
        return str(error)
    return ""


def print_times(check: float, dvc: float, publish: float, slots: int) -> None:
    """Print where the time went, and when the first champion stood; with several slots, stages had `slots` x `dvc`."""
    rows = [json.loads(line) for line in TIMES.read_text().splitlines()] if TIMES.exists() else []
    work, startup = sum(r["work"] for r in rows), sum(r["startup"] for r in rows)
    # Wall-clock seconds, and seconds of all slots, to which the stages' own times add up.
    wall, total = check + dvc + publish, check + dvc * slots + publish
    overhead, rest = total - work, dvc * slots - work - startup
    for row in sorted(rows, key=lambda r: -r["work"])[:12]:
        print(f"  {row['stage']:34} work {row['work']:7.1f} s   start-up {row['startup']:5.1f} s")
    beside = f", {slots} jobs at once, {total:.0f} s of theirs" if slots > 1 else ""
    idle = "DVC and waiting" if slots > 1 else "DVC"
    print(
        f"{wall:.0f} s in all{beside}: work {work:.0f} s; start-up {overhead:.0f} s = {overhead / total:.0%} "
        f"(imports {startup:.0f}, {idle} {rest:.0f}, MLflow {publish:.0f}, check {check:.0f})"
    )
    first = min((row["end"] for row in rows if row["stage"] == "register"), default=0.0)
    if first and paths.LEDGER.exists():
        logger.info("first promotion decided after %.0f s", first - (time.time() - wall))
