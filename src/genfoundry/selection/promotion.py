"""Promotion: whether the best of a task's ranking becomes its champion. Decisions are lines of the ledger.

Candidates are ranked on `val`; promotion is decided on `gate`, in the unit of the task's objective, and nothing on
`test`. The rule:
1. A candidate that loses to any reference of the task's table (`references`) is refused: "refused". The line names
   every one that it loses to. Without a champion the task then has none.
2. Without a champion, the candidate is it: "champion".
3. Else both are scored on today's `gate`. A champion that loses to a reference there gives way to the candidate, which
   loses to none. Otherwise the candidate is "champion" only if the lower end of the 95% interval of its paired
   improvement, over independent groups of items, is above the margin: the ranking's, or what the champion's own
   training seeds asked for when it became one, where that is more (`margins`). Else it is "challenger".
A champion that a new reference beats, and that no candidate replaces, goes on serving; the line "refused" about it says
what it loses to.
The champion is re-measured by the code of its own commit, in a subprocess, on today's `gate`; where a folder of the
workspace holds that very model, measured on today's data, its scores are taken from there.
A champion whose weights no place has (workspace, store, cache, every remote answered) serves nobody: the candidate
takes over, and the reason says so. So it does from one that answers another question (other levels, binarisation or
labels than the task's) and from one whose figure on today's `gate` is not finite. A champion that is there but that no
code can measure any more stays, and the candidate is "challenger". A remote that gives an error decides nothing: no
line is written, and the next run asks again.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genfoundry import paths
from genfoundry.errors import UserError
from genfoundry.selection import ledger

if TYPE_CHECKING:
    from genfoundry.config import Task
    from genfoundry.evaluation.scores import Scores


def is_settled(task_name: str, root: Path, ranking: bytes | None = None) -> bool:
    """Whether the ledger's last line for the task is about this ranking: the fast no-op (a few ms).

    `ranking` is the content of reports/ranking/<task>.json; None reads that file.
    """
    line = ledger.find_last(ledger.read_decisions(root / paths.LEDGER), task_name)
    content = _ranking(root, task_name) if ranking is None else ranking
    return line is not None and content is not None and line["ranking"] == ledger.hash_ranking(content)


def promote(task_name: str, task: Task, root: Path, ranking: bytes | None = None) -> str:
    """Decide about the best of a task's ranking and append the decision to ledger.jsonl.

    Args:
        task_name: the task.
        task: its settings.
        root: the repository.
        ranking: the bytes that reports/ranking/<task>.json has, or will have once the stage `rank` ran, so that a task
            can be decided before all are ranked; None reads the file.

    Returns "champion", "challenger" or "refused"; "unchanged" when it was decided before; "undecided" when a remote
    could not be asked (a warning is on stderr, and nothing was written).

    Raises:
        UserError: there is no ranking, or it and the scores do not belong together.
    """
    content = _ranking(root, task_name) if ranking is None else ranking
    if content is None:
        raise UserError(f"{_ranking_path(root, task_name)}: not there; `dvc repro rank` writes it")
    if is_settled(task_name, root, content):
        return "unchanged"
    root = root.resolve()  # the champion may be measured in a subprocess elsewhere
    return _promote(task_name, task, root, content)


def _promote(task_name: str, task: Task, root: Path, content: bytes) -> str:
    ranking = json.loads(content)
    lines = ledger.read_decisions(root / paths.LEDGER)
    champion = ledger.find_champion(lines, task_name)
    candidate = ranking["candidates"][0]
    if _decided(task, root, ledger.filter_task(lines, task_name), champion, ranking):
        return "unchanged"
    from genfoundry.selection import weight_store

    try:
        decision, reason, figures = _decide(task, root, ranking, champion)
    except weight_store.RemoteUnreachable as error:
        print(f"genfoundry promote {task_name}: nothing decided, asking again next time: {error}", file=sys.stderr)
        return "undecided"
    line = _line(task_name, root, candidate, ranking["data"], champion)
    line |= {"decision": decision, "reason": reason, "figures": figures, "ranking": ledger.hash_ranking(content)}
    if decision != "refused":
        weight_store.keep(root, line["weights"])  # before the line: what a line names must not get lost
    ledger.append_decision(root / paths.LEDGER, line)
    weight_store.prune(root, ledger.read_decisions(root / paths.LEDGER))
    return decision


def _ranking_path(root: Path, task_name: str) -> Path:
    return root / "reports" / "ranking" / f"{task_name}.json"


def _ranking(root: Path, task_name: str) -> bytes | None:
    path = _ranking_path(root, task_name)
    return path.read_bytes() if path.exists() else None


def _decided(
    task: Task, root: Path, lines: list[ledger.Decision], champion: ledger.Decision | None, ranking: Mapping[str, Any]
) -> bool:
    """The ranking changed, but nothing that a decision rests on (another candidate joined it at the bottom, say)."""
    from genfoundry.selection import references

    best = ranking["candidates"][0]
    about = next((line for line in reversed(lines) if line["digest"] == best["digest"]), None)
    if about is None:
        return False
    card = json.loads((_scores(root, task, best) / "card.json").read_text(encoding="utf-8"))
    if card["digest"] != best["digest"]:
        return False  # `_decide` says what is wrong
    value = card["figures"]["gate"].get(task.objective, math.nan)
    rows = references.read_baseline_rows(_baselines(root, ranking))
    lost = references.sort_names(references.find_losses(rows, task.objective, task.direction, value, "gate"))
    same = lost == references.sort_names((about.get("figures") or {}).get("loses_to", ()))
    if champion and champion["digest"] == best["digest"]:
        return same
    last, bar = lines[-1], (ranking["margin"], references.find_hardest(rows, task, "gate"))
    before = (last["figures"].get("ranking_margin"), last["figures"].get("reference"))  # not in lines of old
    return same and (last["digest"], last["data"]) == (best["digest"], ranking["data"]) and before == bar


def _decide(
    task: Task, root: Path, ranking: Mapping[str, Any], champion: ledger.Decision | None
) -> tuple[str, str, dict[str, Any]]:
    """Decision, reason, figures."""
    from genfoundry.evaluation.objectives import find_objective
    from genfoundry.selection import champion_scores, references

    best, rows = ranking["candidates"][0], references.read_baseline_rows(_baselines(root, ranking))
    card, ours = champion_scores.load_candidate_scores(root, task, best["experiment"], best["digest"])
    value = find_objective(task.objective).value(ours, card["dims"])
    figures: dict[str, Any] = {"split": "gate", "incumbent": None, "difference": None, "interval": None}
    figures |= {"margin": ranking["margin"], "ranking_margin": ranking["margin"], "seed_margin": ranking["seed_margin"]}
    figures |= {"reference": references.find_hardest(rows, task, "gate"), "loses_to": [], "candidate": None}
    if not math.isfinite(value):
        return "refused", f"{task.objective} on gate is {value}", figures
    figures["candidate"] = {task.objective: value}
    figures["loses_to"] = references.find_losses(rows, task.objective, task.direction, value, "gate")
    serves = champion is not None and champion["digest"] == best["digest"]
    if figures["loses_to"]:
        stays = "it stays the champion, but " if serves else ""
        lost = references.describe_losses(figures["loses_to"])
        return "refused", f"{stays}{task.objective} {value:.5g} on gate loses to {lost}", figures
    figures["over_reference"] = gap = _lead(task, root, ranking["task"], (card, ours), figures["reference"])
    close = f", {gap['name']} the closest, by {gap['difference']:.3g}" if gap else ""
    close += f" (95% {gap['interval'][0]:.3g} to {gap['interval'][1]:.3g})" if gap else ""
    if champion is None:
        return "champion", f"the first of its task that beats every reference on gate{close}", figures
    if serves:
        return "champion", f"{task.objective} {value:.5g} beats every reference on gate again{close}", figures
    return _compare(task, root, (card, ours), champion, figures, rows)


def _lead(
    task: Task, root: Path, task_name: str, candidate: tuple[dict[str, Any], Scores], row: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    """By how much a candidate beats the reference that is hardest to beat; None where that has no scores by item."""
    from genfoundry.evaluation.aggregate import improvement
    from genfoundry.evaluation.objectives import find_objective
    from genfoundry.selection import champion_scores

    (card, ours), name = candidate, row["name"] if row else ""
    theirs = champion_scores.load_reference_scores(root, task_name, name) if row else {}
    unit = find_objective(task.objective)
    if not all(len(theirs.get(need, ())) == len(ours[need]) for need in unit.inputs):
        return None  # a compressor of the whole file, say
    try:
        gain = improvement(ours, theirs, unit, card["dims"])
    except UserError:
        return None  # not item by item: features of the same real items, but from another device
    return {"name": name, "difference": gain.value, "interval": [gain.low, gain.high] if gain.has_interval else None}


def _compare(
    task: Task,
    root: Path,
    candidate: tuple[dict[str, Any], Scores],
    champion: ledger.Decision,
    figures: dict[str, Any],
    rows: Mapping[str, Any],
) -> tuple[str, str, dict[str, Any]]:
    from genfoundry.evaluation.aggregate import improvement
    from genfoundry.evaluation.objectives import find_objective
    from genfoundry.selection import champion_scores, references, weight_store

    (card, ours), was = candidate, f"the champion {champion['digest'][:12]}"
    try:
        theirs = champion_scores.measure_champion(root, task, champion, card, ours)
    except weight_store.WeightsLost as error:
        return "champion", f"{was} is lost: {error}", figures
    except champion_scores.NotMeasurable as error:
        return "challenger", f"{was} stays, since it could not be measured again: {error}", figures
    if theirs is None:
        return "champion", f"{was} has other levels, binarisation or labels than the task", figures
    unit, dims = find_objective(task.objective), card["dims"]
    value = unit.value(theirs, dims)
    if not math.isfinite(value):
        return "champion", f"{was} has {task.objective} {value} on today's gate", figures
    lost = references.find_losses(rows, task.objective, task.direction, value, "gate")
    figures["margin"] = margin = max(figures["margin"], (champion.get("figures") or {}).get("seed_margin") or 0.0)
    gain = improvement(ours, theirs, unit, dims)
    figures |= {"incumbent": {task.objective: value}, "difference": gain.value}
    figures |= {
        "items": gain.n,
        "groups": gain.groups,
        "interval": [gain.low, gain.high] if gain.has_interval else None,
    }
    how = f"{task.objective} on gate improves by {gain.value:.5g}"
    if gain.has_interval:
        over = f"{gain.n:,} items" + (f" in {gain.groups:,} independent groups" if gain.groups < gain.n else "")
        how += f" (95% {gain.low:.5g} to {gain.high:.5g}, {over})"
    if lost:
        return (
            "champion",
            f"{how}; {was} loses there to {references.describe_losses(lost)}, this one to no reference",
            figures,
        )
    if not gain.has_interval:
        return "challenger", f"{how}, and how sure that is cannot be told from {gain.groups} group", figures
    if gain.low > margin:
        return "champion", f"{how}, above the margin {margin:.4g}", figures
    return "challenger", f"{how}, not surely above the margin {margin:.4g}", figures


def _scores(root: Path, task: Task, candidate: Mapping[str, Any]) -> Path:
    return root / "reports" / "scores" / task.dataset / str(candidate["experiment"])


def _baselines(root: Path, ranking: Mapping[str, Any]) -> Path:
    return root / "reports" / "baselines" / str(ranking["task"])


def _line(
    task_name: str, root: Path, candidate: Mapping[str, Any], data: str, champion: ledger.Decision | None
) -> ledger.Decision:
    from genfoundry.selection import weight_store

    commit, clean = ledger.get_commit(root)
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "who": ledger.get_user_name(root),
        "task": task_name,
        "experiment": candidate["experiment"],
        "model": candidate["model"],
        "digest": candidate["digest"],
        "data": data,
        "commit": commit,
        "clean": clean,
        "incumbent": champion["digest"] if champion else None,
        "weights": weight_store.describe(root / "models" / "experiments" / candidate["experiment"], root),
    }
