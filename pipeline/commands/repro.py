"""`make repro`: check params.yaml, run the pipeline, bring MLflow up to date, say where the time went."""

import json
import os
import re
import sys
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from genfoundry import cgroup, config, experiment, graph, inbox, jobs, lockfile, places, shell, together, turns, warm
from genfoundry.tracking import store
from genfoundry.types import UserError
from pipeline import sources

HERE = Path()
LOG = Path(".state/times.jsonl")
MEMORY = 2 * 2**30  # bytes that a job may need
MOST = 1000  # jobs at once


def run(*argv: str) -> None:
    number, targets = options(argv)
    began = time.perf_counter()
    with turns.taken(HERE):
        shell.check_repository(HERE)
        shell.check_versioned(HERE)
        if experiment.main():
            raise UserError("params.yaml: see above; nothing was run")
        for name in experiment.settings().datasets:
            if message := inbox.restore(HERE, name):
                print(f"genfoundry repro: {message}", file=sys.stderr)
        prune()
        LOG.parent.mkdir(exist_ok=True)
        LOG.unlink(missing_ok=True)
        store.forget(HERE)
        checked = time.perf_counter()
        at_once = slots(experiment.settings(), number)
        if warning := crowded(experiment.settings(), number):
            print(f"genfoundry repro: {warning}", file=sys.stderr)
        with warm.kept(HERE) as found:
            env = environment() | found
            status = look(env)
            env[sources.SAID] = "1"
            side = len(at_once) > 1 and not targets
            status = status or (beside(at_once, env) if side else rounds(targets, env))
        ran = time.perf_counter()
        lockfile.order(HERE)
        if status:
            raise UserError("dvc repro stopped at the stage above; what was finished is kept, run it again to go on")
        from genfoundry.reporting import site

        site.render(HERE)  # a stage that DVC restored has not rendered it, and promotions come after the report
        fault = publish_runs()
    split(checked - began, ran - checked, time.perf_counter() - ran, len(at_once) if not targets else 1)
    board = Path("reports/leaderboard.md")
    if board.exists():
        print(board.read_text(encoding="utf-8"), flush=True)
    if fault:
        print(f"genfoundry repro: {fault}", file=sys.stderr)


def publish_runs() -> str:
    """Bring MLflow up to date; the line that says why it is left out, "" where it is not. It fails no run."""
    from genfoundry.tracking import publish
    from genfoundry.tracking.store_errors import StoreError

    try:
        publish.update(HERE)
    except StoreError as error:
        return str(error)
    return ""


def options(argv: tuple[str, ...]) -> tuple[int | None, tuple[str, ...]]:
    """The number of `--jobs` and DVC's targets."""
    if "--jobs" not in argv:
        return None, argv
    at = argv.index("--jobs")
    number = argv[at + 1] if len(argv) > at + 1 else ""
    if not number.isdecimal() or not 1 <= int(number) <= MOST:
        raise UserError(f"--jobs {number}: a whole number of jobs is wanted, 1 to {MOST} (make repro JOBS=2)")
    return int(number), argv[:at] + argv[at + 2 :]


def slots(params: config.Params, wanted: int | None) -> list[dict[str, str]]:
    """What each of the jobs at once finds in its environment: a GPU of its own, or nothing, where cores are shared.

    As many as GPUs, else as cores over threads; never more than experiments, or than memory holds. Cores and memory
    are those that this process may use: a container's quota and limit, not what its host has.
    """
    import torch

    gpus = torch.cuda.device_count() if params.device in ("auto", "cuda") else 0
    if gpus:
        named = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(gpus)))).split(",")[:gpus]
        number = wanted or max(1, min(gpus, cgroup.memory() // MEMORY))
        return [{"CUDA_VISIBLE_DEVICES": named[job % gpus]} for job in range(number)]
    if wanted is None and params.device in ("auto", "cpu"):
        wanted = min(room(params), len(params.experiments))
    return [{} for _ in range(wanted or 1)]


def room(params: config.Params) -> int:
    """How many jobs cores and memory hold."""
    return max(1, min(cgroup.cpus() // params.threads, cgroup.memory() // MEMORY))


def crowded(params: config.Params, wanted: int | None) -> str:
    """What to say of more jobs than there is room for; they are run all the same. "" where they fit."""
    if wanted is None or wanted <= (fit := room(params)):
        return ""
    here = f"{cgroup.cpus()} cores at {params.threads} each and {cgroup.memory() / 2**30:.1f} GiB of memory"
    return f"--jobs {wanted}: more than the {fit} that {here} hold; slower, or killed for want of memory"


def environment() -> dict[str, str]:
    return {"GENFOUNDRY_TIMES": str(LOG.resolve()), "PYTHONPATH": "src"}


def look(env: dict[str, str]) -> int:
    """Bring up to date what the other stages' being due is read from: digests of code and sources; the exit status.

    Where a source is away, the copy that DVC has is brought into the workspace if it is not there.
    """
    if status := shell.show(*jobs.DVC, "repro", "code", "sources", root=HERE, env=env):
        return status
    for source in sources.check_all(HERE, experiment.settings()):
        if source.state == "away" and not places.raw(source.name).exists():
            shell.ask("dvc", "pull", "--allow-missing", f"fetch@{source.name}", root=HERE, check=False)
    return 0


def rounds(targets: tuple[str, ...], env: dict[str, str]) -> int:
    """The first task, which is decided at once, so that a champion stands early, then all that is left; the status."""
    for task in () if targets else list(experiment.settings().tasks)[:1]:
        status = shell.show(*jobs.DVC, "repro", f"register@{task}", root=HERE, env=env)
        status = status or shell.show(sys.executable, "-m", "pipeline", "promote", task, root=HERE, env=env)
        if status:
            return status
    return shell.show(*jobs.DVC, "repro", *targets, root=HERE, env=env)


def beside(places: list[dict[str, str]], env: dict[str, str]) -> int:
    """Experiments side by side, each a DVC process of its own, then all that is left; the exit status."""
    known = experiment.expected(experiment.settings())
    stages = graph.stages(HERE)
    planned = jobs.planned(stages, due(stages), known)
    out = together.run(planned, places, HERE, env)
    if out.spans:
        print(f"{len(places)} jobs at once: busy {out.busy(len(places)):.0%} of the time")
    if out.failed:
        missed = f"; for want of it, not run: {', '.join(sorted(out.left))}" if out.left else ""
        print(f"genfoundry repro: failed: {', '.join(sorted(out.failed))}{missed}", file=sys.stderr)
        if tasks := ranked(planned, {*out.failed, *out.left}):
            shell.show(sys.executable, "-m", "pipeline", "promote", *tasks, root=HERE, env=env)
        return 1
    return shell.show(*jobs.DVC, "repro", root=HERE, env=env)


def ranked(planned: Collection[str], lost: set[str]) -> list[str]:
    """The tasks that were ranked anew: of the others scores and ranking may not belong together."""
    return [name.removeprefix("register@") for name in planned if name.startswith("register@") and name not in lost]


def due(stages: Mapping[str, graph.Stage]) -> set[str]:
    """The stages that DVC does not find unchanged."""
    said = shell.ask(*jobs.DVC, "repro", "--dry", "--keep-going", root=HERE, check=False)
    return stages.keys() - set(re.findall(r"Stage '([^']+)' didn't change", said))


def prune() -> None:
    """Remove outs of experiments that params.yaml no longer names: a ranking reads whole folders."""
    params = experiment.settings()
    for path in Path("reports/scores").glob("*/*"):
        entry = params.experiments.get(path.name)
        if entry is None or entry.dataset != path.parent.name:
            shell.ask("rm", "-rf", path, root=HERE)
    for path in (*Path("reports/evaluation").glob("*.json"), *Path("reports/training").glob("*.csv")):
        if path.stem not in params.experiments:
            path.unlink()
    for path in (*Path("reports/ranking").glob("*.json"), *Path("reports/baselines").glob("*")):
        if path.name.removesuffix(".json") not in params.tasks and path.name != ".gitignore":
            shell.ask("rm", "-rf", path, root=HERE)


def split(check: float, dvc: float, publish: float, at_once: int) -> None:
    """Where the time went, and when the first champion stood; with jobs at once, stages took `at_once` times `dvc`."""
    rows = [json.loads(line) for line in LOG.read_text().splitlines()] if LOG.exists() else []
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
    first = min((row["end"] for row in rows if row["stage"].startswith("promote")), default=0.0)
    if first and places.LEDGER.exists():
        print(f"first promotion decided after {first - (time.time() - wall):.0f} s", file=sys.stderr)
