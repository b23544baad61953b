"""Promotion: whether the best of a task's ranking becomes its champion. Decisions are lines of the ledger.

The rule, on `gate`, in the unit of the task's objective:
1. A candidate that is not better than the best trivial model (role baseline or ceiling) is refused: "refused".
2. Without a champion, the candidate is it: "champion".
3. Else both are scored on today's `gate`, and the candidate is "champion" only if the lower end of the 95% interval of
   a paired bootstrap of its improvement is above the task's margin; otherwise it is "challenger".
The champion is re-measured by the code of its own commit, in a subprocess, on today's `gate`; where a folder of the
workspace holds that very model, measured on today's data, its scores are taken from there.
A champion whose weights no place has (workspace, cache, every remote answered) serves nobody: the candidate takes over,
and the reason says so. So does one that answers another question (other levels or binarisation than the task's). A
champion that is there but that no code can measure any more stays, and the candidate is "challenger". A remote that
gives an error decides nothing: no line is written, and the next run asks again.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genfoundry import ledger
from genfoundry.types import UserError, counted

if TYPE_CHECKING:
    from genfoundry.config import Task
    from genfoundry.metrics import Scores

REPEATS = 1000  # resamples of the paired bootstrap


class Unmeasured(Exception):
    """The champion is there, but no code measures it on today's gate."""


def settled(task_name: str, root: Path) -> bool:
    """Whether the ledger's last line for the task is about the ranking that is there: the fast no-op (a few ms)."""
    line = ledger.last(ledger.read(root / "ledger.jsonl"), task_name)
    return line is not None and line["ranking"] == ledger.fingerprint(_ranking(root, task_name))


def promote(task_name: str, task: Task, root: Path) -> str:
    """Decide about the best of reports/ranking/<task>.json and append the decision to ledger.jsonl.

    Returns "champion", "challenger" or "refused"; "unchanged" when it was decided before; "undecided" when a remote
    could not be asked (a warning is on stderr, and nothing was written).

    Raises:
        UserError: the ranking and the scores do not belong together.
    """
    if settled(task_name, root):
        return "unchanged"
    path = _ranking(root, task_name)
    if not path.exists():
        raise UserError(f"{path}: not there; `dvc repro register` writes it")
    ranking = json.loads(path.read_text(encoding="utf-8"))
    lines = ledger.read(root / "ledger.jsonl")
    champion = ledger.champion(lines, task_name)
    candidate = ranking["candidates"][0]
    if _decided(ledger.last(lines, task_name), champion, candidate, ranking):
        return "unchanged"
    from genfoundry.weights import Unreachable

    try:
        decision, reason, figures = _decide(task, root, ranking, champion)
    except Unreachable as error:
        print(f"genfoundry promote {task_name}: nothing decided, asking again next time: {error}", file=sys.stderr)
        return "undecided"
    line = _line(task_name, root, candidate, ranking["data"], champion)
    line |= {"decision": decision, "reason": reason, "figures": figures, "ranking": ledger.fingerprint(path)}
    ledger.append(root / "ledger.jsonl", line)
    return decision


def _ranking(root: Path, task_name: str) -> Path:
    return root / "reports" / "ranking" / f"{task_name}.json"


def _decided(
    last: ledger.Line | None, champion: ledger.Line | None, candidate: Mapping[str, Any], ranking: Mapping[str, Any]
) -> bool:
    """The ranking changed, but not what a decision rests on (another candidate joined it at the bottom, say)."""
    if champion and champion["digest"] == candidate["digest"]:
        return True
    if last is None or (last["digest"], last["data"]) != (candidate["digest"], ranking["data"]):
        return False
    return bool(last["figures"]["margin"] == ranking["margin"]) and last["decision"] == "challenger"


def _decide(
    task: Task, root: Path, ranking: Mapping[str, Any], champion: ledger.Line | None
) -> tuple[str, str, dict[str, Any]]:
    from genfoundry import metrics, rank, weights

    best = ranking["candidates"][0]
    card, ours = scored(root, task, best["experiment"], best["digest"])
    unit, dims = metrics.objective(task.objective), card["dims"]
    value, trivial = (
        unit.value(ours, dims),
        rank.best_trivial(root / "reports/baselines" / _name(ranking), task, "gate"),
    )
    figures: dict[str, Any] = {
        "candidate": {task.objective: value} if math.isfinite(value) else None,
        "incumbent": None,
    }
    figures |= {"difference": None, "interval": None, "margin": task.margin, "baseline": trivial}
    sign = 1.0 if unit.direction == "minimize" else -1.0
    if not math.isfinite(value) or (trivial and sign * (trivial["value"] - value) <= 0):
        than = f"better than {trivial['name']} ({trivial['value']:.5g})" if trivial else "finite"
        return "refused", f"{task.objective} {value:.5g} on gate is not {than}", figures
    if champion is None:
        return "champion", "the first of its task that beats the trivial models", figures
    try:
        theirs = incumbent(root, task, champion, card, ours)
    except weights.Lost as error:
        return "champion", f"the champion {champion['digest'][:12]} is lost: {error}", figures
    except Unmeasured as error:
        return "challenger", f"the champion stays, since it could not be measured again: {error}", figures
    if theirs is None:
        return "champion", f"the champion {champion['digest'][:12]} has other levels or binarisation", figures
    seed = counted("promote", best["digest"], champion["digest"])
    gain, low, high = metrics.improvement(ours, theirs, unit, dims, repeats=REPEATS, seed=seed)
    figures |= {"incumbent": {task.objective: unit.value(theirs, dims)}, "difference": gain, "interval": [low, high]}
    won = low > task.margin
    reason = f"{task.objective} on gate improves by {gain:.5g} (95% {low:.5g} to {high:.5g}), "
    return (
        ("champion" if won else "challenger"),
        reason + f"{'above' if won else 'not surely above'} {task.margin:g}",
        figures,
    )


def _name(ranking: Mapping[str, Any]) -> str:
    return str(ranking["task"])


def scored(root: Path, task: Task, experiment: str, digest: str) -> tuple[dict[str, Any], Scores]:
    """Card and per-item scores on `gate` of an experiment in the workspace.

    Raises:
        UserError: the scores are of another model than the one asked for.
    """
    from safetensors.numpy import load_file

    folder = root / "reports" / "scores" / task.dataset / experiment
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    if card["digest"] != digest:
        raise UserError(f"{folder}: scores of model {card['digest'][:12]}, not {digest[:12]}; run `dvc repro register`")
    tensors = load_file(folder / "scores.safetensors")
    return card, {name.removeprefix("gate/"): v for name, v in tensors.items() if name.startswith("gate/")}


def incumbent(root: Path, task: Task, champion: ledger.Line, card: Mapping[str, Any], ours: Scores) -> Scores | None:
    """The champion's per-item scores on today's gate; None when it has other levels or binarisation.

    Raises:
        Lost: its weights are nowhere.
        Unmeasured: no code could measure it.
    """
    from genfoundry import weights

    for path in sorted((root / "reports" / "scores" / task.dataset).glob("*/card.json")):
        other = json.loads(path.read_text(encoding="utf-8"))
        here = (other["digest"], other["data"]) == (champion["digest"], card["data"])
        if here and (other["levels"], other["binarise"]) == (task.levels, task.binarise):
            return scored(root, task, other["experiment"], champion["digest"])[1]
    folder = weights.find(root, champion["weights"])
    settings = json.loads((folder / "model.json").read_text(encoding="utf-8"))["data"]
    if (settings.get("levels"), settings.get("binarise")) != (task.levels, task.binarise):
        return None
    samples = len(ours["features"]) if "features" in ours else 2
    faults = []
    for source in _sources(root, champion):
        try:
            return remeasure(root, task, folder, source, samples)
        except Unmeasured as error:
            faults.append(str(error))
    raise Unmeasured("; ".join(faults))


def _sources(root: Path, champion: ledger.Line) -> Iterator[Path]:
    """Folders with a `genfoundry` that may know the champion: its own commit's, if clean the first, and today's."""
    today = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory() as folder:
        own = archived(root, champion.get("commit"), Path(folder))
        order = [own, today] if champion.get("clean") else [today, own]
        yield from (source for source in order if source)


def archived(root: Path, commit: str | None, into: Path) -> Path | None:
    """`src` as `commit` had it, below `into`; None when the commit is unknown here."""
    if not commit:
        return None
    done = subprocess.run(["git", "-C", str(root), "archive", commit, "src"], capture_output=True)
    if done.returncode:
        return None
    with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
        archive.extractall(into, filter="data")
    return into / "src"


def remeasure(root: Path, task: Task, folder: Path, source: Path, samples: int) -> Scores:
    """Scores on today's gate of the model in `folder`: its answers by the code in `source`, scored by today's.

    Raises:
        Unmeasured: the code failed, or its answers cannot be scored.
    """
    from genfoundry import evaluate
    from genfoundry.checkpoint import read_tensors
    from genfoundry.data.base import Dataset

    prepared = root / "data" / "prepared" / task.dataset
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "answers.safetensors"
        command = [sys.executable, "-m", "genfoundry.evaluate", "--model", folder, "--data", prepared]
        command += ["--split", "gate", "--samples", str(samples), "--seed", str(counted("gate")), "--out", out]
        environment = {**os.environ, "PYTHONPATH": str(source)}
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=scratch, env=environment)
        if done.returncode or not out.exists():
            raise Unmeasured((done.stderr.strip().splitlines() or ["no message"])[-1])
        answers = read_tensors(out)
    split = Dataset(prepared).split("gate", task.levels, task.binarise)
    try:
        return evaluate.score(answers, split, evaluate.judge(root / "models" / "judges" / task.dataset))
    except (UserError, ValueError, RuntimeError, KeyError) as error:
        raise Unmeasured(str(error)) from None


def _line(
    task_name: str, root: Path, candidate: Mapping[str, Any], data: str, champion: ledger.Line | None
) -> ledger.Line:
    from genfoundry import weights

    commit, clean = ledger.commit(root)
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "who": ledger.who(root),
        "task": task_name,
        "experiment": candidate["experiment"],
        "model": candidate["model"],
        "digest": candidate["digest"],
        "data": data,
        "commit": commit,
        "clean": clean,
        "incumbent": champion["digest"] if champion else None,
        "weights": weights.describe(root / "models" / "experiments" / candidate["experiment"], root),
    }
