"""Promotion: whether the best of a task's ranking becomes its champion. Decisions are lines of the ledger.

The rule, on `gate`, in the unit of the task's objective:
1. A candidate that is not better than the best trivial model (role baseline or ceiling) is refused: "refused".
2. Without a champion, the candidate is it: "champion".
3. Else both are scored on today's `gate`, and the candidate is "champion" only if the lower end of the 95% interval of
   its paired improvement, over independent groups of items, is above the ranking's margin; otherwise "challenger".
The champion is re-measured by the code of its own commit, in a subprocess, on today's `gate`; where a folder of the
workspace holds that very model, measured on today's data, its scores are taken from there.
A champion whose weights no place has (workspace, cache, every remote answered) serves nobody: the candidate takes over,
and the reason says so. So does one that answers another question (other levels, binarisation or labels than the
task's). A champion that is there but that no code can measure any more stays, and the candidate is "challenger". A
remote that gives an error decides nothing: no line is written, and the next run asks again.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genfoundry import ledger
from genfoundry.types import UserError

if TYPE_CHECKING:
    from genfoundry.config import Task
    from genfoundry.metrics import Scores


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
    root = root.resolve()  # the champion may be measured in a subprocess elsewhere
    path = _ranking(root, task_name)
    if not path.exists():
        raise UserError(f"{path}: not there; `dvc repro register` writes it")
    ranking = json.loads(path.read_text(encoding="utf-8"))
    lines = ledger.read(root / "ledger.jsonl")
    champion = ledger.champion(lines, task_name)
    candidate = ranking["candidates"][0]
    if _decided(task, root, ledger.last(lines, task_name), champion, ranking):
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
    task: Task, root: Path, last: ledger.Line | None, champion: ledger.Line | None, ranking: Mapping[str, Any]
) -> bool:
    """The ranking changed, but nothing that a decision rests on (another candidate joined it at the bottom, say)."""
    from genfoundry.rank import best_trivial

    digest = ranking["candidates"][0]["digest"]
    if champion and champion["digest"] == digest:
        return True
    if last is None or (last["digest"], last["data"]) != (digest, ranking["data"]):
        return False
    trivial = best_trivial(_baselines(root, ranking), task, "gate")
    return (last["figures"]["margin"], last["figures"]["baseline"]) == (ranking["margin"], trivial)


def _decide(
    task: Task, root: Path, ranking: Mapping[str, Any], champion: ledger.Line | None
) -> tuple[str, str, dict[str, Any]]:
    """Decision, reason, figures."""
    from genfoundry import incumbent, metrics, rank

    best = ranking["candidates"][0]
    card, ours = incumbent.scored(root, task, best["experiment"], best["digest"])
    unit = metrics.objective(task.objective)
    value, trivial = unit.value(ours, card["dims"]), rank.best_trivial(_baselines(root, ranking), task, "gate")
    figures: dict[str, Any] = {"incumbent": None, "difference": None, "interval": None}
    figures |= {"margin": ranking["margin"], "baseline": trivial, "candidate": None}
    if not math.isfinite(value):
        return "refused", f"{task.objective} on gate is {value}", figures
    figures["candidate"] = {task.objective: value}
    sign = 1.0 if unit.direction == "minimize" else -1.0
    if trivial and sign * (trivial["value"] - value) <= 0:
        than = f"{trivial['name']} ({trivial['value']:.5g})"
        return "refused", f"{task.objective} {value:.5g} on gate is not better than {than}", figures
    if champion is None:
        return "champion", "the first of its task that beats the trivial models", figures
    return _compare(task, root, (card, ours), champion, figures)


def _compare(
    task: Task,
    root: Path,
    candidate: tuple[dict[str, Any], Scores],
    champion: ledger.Line,
    figures: dict[str, Any],
) -> tuple[str, str, dict[str, Any]]:
    from genfoundry import incumbent, metrics, weights

    (card, ours), was = candidate, f"the champion {champion['digest'][:12]}"
    try:
        theirs = incumbent.scores(root, task, champion, card, ours)
    except weights.Lost as error:
        return "champion", f"{was} is lost: {error}", figures
    except incumbent.Unmeasured as error:
        return "challenger", f"{was} stays, since it could not be measured again: {error}", figures
    if theirs is None:
        return "champion", f"{was} has other levels, binarisation or labels than the task", figures
    unit, dims = metrics.objective(task.objective), card["dims"]
    gain = metrics.improvement(ours, theirs, unit, dims)
    figures |= {"incumbent": {task.objective: unit.value(theirs, dims)}, "difference": gain.value}
    figures |= {"items": gain.n, "groups": gain.groups}
    if not gain.known:
        return "challenger", f"how sure {task.objective} on gate is cannot be told from {gain.groups} group", figures
    figures["interval"] = [gain.low, gain.high]
    over = f"{gain.n:,} items" + (f" in {gain.groups:,} independent groups" if gain.groups < gain.n else "")
    how = f"{task.objective} on gate improves by {gain.value:.5g} (95% {gain.low:.5g} to {gain.high:.5g}, {over})"
    margin = figures["margin"]
    if gain.low > margin:
        return "champion", f"{how}, above the margin {margin:g}", figures
    return "challenger", f"{how}, not surely above the margin {margin:g}", figures


def _baselines(root: Path, ranking: Mapping[str, Any]) -> Path:
    return root / "reports" / "baselines" / str(ranking["task"])


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
