"""`make repro`: check params.yaml, run the pipeline, bring MLflow up to date, say where the time went."""

import json
import re
import sys
import time
from pathlib import Path

import yaml

from genfoundry import experiment, graph, places, shell
from genfoundry.types import UserError

HERE = Path()
LOG = Path(".state/times.jsonl")


def run(*targets: str) -> None:
    began = time.perf_counter()
    if experiment.main():
        raise UserError("params.yaml: see above; nothing was run")
    prune()
    LOG.parent.mkdir(exist_ok=True)
    LOG.unlink(missing_ok=True)
    checked = time.perf_counter()
    status = rounds(targets)
    ran = time.perf_counter()
    order_lock(HERE)
    if status:
        raise UserError("dvc repro stopped at the stage above; what was finished is kept, run it again to go on")
    from genfoundry import publish

    publish.publish(HERE)
    split(checked - began, ran - checked, time.perf_counter() - ran)
    board = Path("reports/leaderboard.md")
    if board.exists():
        print(board.read_text(encoding="utf-8"))


def rounds(targets: tuple[str, ...]) -> int:
    """Task by task, each decided as soon as it is ranked, then all that is left; the exit status."""
    env = {"GENFOUNDRY_TIMES": str(LOG.resolve()), "PYTHONPATH": "src"}
    for task in () if targets else experiment.settings().tasks:
        status = shell.show("dvc", "repro", f"register@{task}", root=HERE, env=env)
        status = status or shell.show(sys.executable, "-m", "pipeline", "promote", task, root=HERE, env=env)
        if status:
            return status
    return shell.show("dvc", "repro", *targets, root=HERE, env=env)


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


def order_lock(root: Path) -> None:
    """Rewrite dvc.lock in dvc.yaml's order: DVC's own depends on which stages were run in which order."""
    path = root / "dvc.lock"
    if not path.exists():
        return
    head, *blocks = re.split(r"(?m)^(?=  \S)", path.read_text(encoding="utf-8"))
    named = {yaml.safe_load(block.splitlines()[0]).popitem()[0]: block for block in blocks}
    known = [name for name in graph.stages(root) if name in named]
    ordered = head + "".join(named[name] for name in known)
    if ordered != path.read_text(encoding="utf-8"):
        path.write_text(ordered, encoding="utf-8")


def split(check: float, dvc: float, publish: float) -> None:
    """Where the time went, and when the first champion stood."""
    rows = [json.loads(line) for line in LOG.read_text().splitlines()] if LOG.exists() else []
    work, startup = sum(r["work"] for r in rows), sum(r["startup"] for r in rows)
    total = check + dvc + publish
    overhead = startup + (dvc - work - startup) + publish + check
    for row in sorted(rows, key=lambda r: -r["work"])[:12]:
        print(f"  {row['stage']:34} work {row['work']:7.1f} s   start-up {row['startup']:5.1f} s")
    print(
        f"{total:.0f} s in all: work {work:.0f} s; start-up {overhead:.0f} s = {overhead / total:.0%} "
        f"(imports {startup:.0f}, DVC {dvc - work - startup:.0f}, MLflow {publish:.0f}, check {check:.0f})"
    )
    first = next((row for row in rows if row["stage"].startswith("promote")), None)
    if first and places.LEDGER.exists():
        print(f"first promotion decided after {first['end'] - (time.time() - total):.0f} s", file=sys.stderr)
