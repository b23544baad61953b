"""Promotion: whether the best candidate of a task becomes its champion. Decisions are lines of the ledger.

Candidates are ranked on `val`; promotion is decided on `gate`, in the unit of the task's objective, and nothing on
`test`. The rule:
1. A candidate that loses to any reference of the task's table (`references`) is "refused". The decision names all that
   it loses to. Without a champion the task then has none.
2. Without a champion, the candidate is it: "champion".
3. Else both are scored on today's `gate`. A champion that loses to a reference there gives way to the candidate, which
   loses to none. Otherwise the candidate is "champion" only if the lower end of the 95% interval of its paired
   improvement, over independent groups of items, is above the margin: the ranking's, or what the champion's own
   training seeds asked for when it became one, where that is more (`margins`). Else it is "challenger".
A champion that a new reference beats, and that no candidate replaces, goes on serving; a decision "refused" about it
says what it loses to.
The champion is measured by the code of its own commit, in a subprocess, on today's `gate`; where a folder of the
workspace holds that very model, measured on today's data, its scores are taken from there.
The candidate takes over from a champion whose weights are nowhere (workspace, store, cache, every remote answered),
from one of other levels, binarisation or labels than the task's, and from one whose objective on today's `gate` is not
finite; the reason says so. A champion that is at hand but that no code can measure any more stays, and the candidate is
"challenger". A remote that gives an error decides nothing: no line is written, and the next run asks again.
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
from genfoundry.files import read_json
from genfoundry.selection import ledger

if TYPE_CHECKING:
    from genfoundry.config import Task
    from genfoundry.evaluation.bootstrap import Estimate
    from genfoundry.evaluation.scores import Scores

    Candidate = tuple[dict[str, Any], Scores]  # card, scores on gate
Outcome = tuple[str, str, dict[str, Any]]  # decision, reason, figures


def is_settled(task_name: str, root: Path, ranking: bytes | None = None) -> bool:
    """Whether the ledger's last line for the task is about this ranking: the fast no-op (a few ms).

    `ranking` is the content of reports/ranking/<task>.json; None reads that file.
    """
    last = ledger.find_last(ledger.read_decisions(root / paths.LEDGER), task_name)
    content = _read_ranking(root, task_name) if ranking is None else ranking
    return last is not None and content is not None and last["ranking"] == ledger.hash_ranking(content)


def promote(task_name: str, task: Task, root: Path, ranking: bytes | None = None) -> str:
    """Decide about the best of a task's ranking and append the decision to ledger.jsonl.

    Args:
        task_name: the task.
        task: its settings.
        root: the repository.
        ranking: the bytes that reports/ranking/<task>.json has, or will have once the stage `rank` ran, so that a task
            can be decided before all are ranked; None reads the file.

    Returns:
        "champion", "challenger" or "refused"; "unchanged" when it was decided before; "undecided" when a remote could
        not be asked (a warning is on stderr, and nothing was written).

    Raises:
        UserError: there is no ranking, or it and the scores do not belong together.
    """
    content = _read_ranking(root, task_name) if ranking is None else ranking
    if content is None:
        raise UserError(
            f"{root / paths.ranking(task_name)}: expected a ranking, got no file; `dvc repro rank` writes it"
        )
    # The stage `register` is run every time: the usual answer costs the read of two files, and imports no torch.
    if is_settled(task_name, root, content):
        return "unchanged"
    root = root.resolve()  # the champion may be measured in a subprocess elsewhere
    ranks, decisions = json.loads(content), ledger.read_decisions(root / paths.LEDGER)
    champion = ledger.find_champion(decisions, task_name)
    if _is_decided(task, root, ledger.filter_task(decisions, task_name), champion, ranks):
        return "unchanged"
    from genfoundry.selection import weight_store

    try:
        decision, reason, figures = _decide(task, root, ranks, champion)
    # An outage proves nothing. A line would settle this ranking, and the champion be lost to a fault of the network.
    except weight_store.RemoteUnreachable as error:
        print(f"genfoundry promote {task_name}: nothing decided, asking again next time: {error}", file=sys.stderr)
        return "undecided"
    best = ranks["candidates"][0]
    commit, clean = ledger.get_commit(root)
    line = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "who": ledger.get_user_name(root),
        "task": task_name,
        **{key: best[key] for key in ("experiment", "model", "digest")},
        "data": ranks["data"],
        "commit": commit,
        "clean": clean,
        "incumbent": champion["digest"] if champion else None,
        "weights": weight_store.describe(root / paths.model(best["experiment"]), root),
        "decision": decision,
        "reason": reason,
        "figures": figures,
        "ranking": ledger.hash_ranking(content),
    }
    if decision != "refused":
        weight_store.keep(root, line["weights"])  # before the line: what a line names must not get lost
    ledger.append_decision(root / paths.LEDGER, line)
    # Read anew: other processes may have appended decisions, whose weights are needed as well.
    weight_store.prune(root, ledger.read_decisions(root / paths.LEDGER))
    return decision


def _read_ranking(root: Path, task_name: str) -> bytes | None:
    path = root / paths.ranking(task_name)
    return path.read_bytes() if path.exists() else None


def _is_decided(
    task: Task,
    root: Path,
    decisions: list[ledger.Decision],
    champion: ledger.Decision | None,
    ranking: Mapping[str, Any],
) -> bool:
    """Whether the ranking changed, but nothing that a decision rests on: a candidate joined it at the bottom, say."""
    from genfoundry.selection import references

    best = ranking["candidates"][0]
    about_best = next((d for d in reversed(decisions) if d["digest"] == best["digest"]), None)
    if about_best is None:
        return False
    card = read_json(root / paths.scores(task.dataset, best["experiment"]) / "card.json")
    if card["digest"] != best["digest"]:
        return False  # `_decide` says what is wrong
    value = card["figures"]["gate"].get(task.objective, math.nan)
    rows = references.read_baseline_rows(root / paths.baselines(ranking["task"]))
    losses = references.sort_names(references.find_losses(rows, task.objective, task.direction, value, "gate"))
    same = losses == references.sort_names((about_best.get("figures") or {}).get("loses_to", ()))
    # For the model that serves, only which references beat it can change the outcome.
    if champion and champion["digest"] == best["digest"]:
        return same
    # For a challenger it is the last decision, on the same data, by the same margin and against the same reference.
    last, bar = decisions[-1], (ranking["margin"], references.find_hardest(rows, task, "gate"))
    before = (last["figures"].get("ranking_margin"), last["figures"].get("reference"))  # older lines lack both
    return same and (last["digest"], last["data"]) == (best["digest"], ranking["data"]) and before == bar


def _decide(task: Task, root: Path, ranking: Mapping[str, Any], champion: ledger.Decision | None) -> Outcome:
    from genfoundry.evaluation.objectives import find_objective
    from genfoundry.selection import champion_scores, references

    best, rows = ranking["candidates"][0], references.read_baseline_rows(root / paths.baselines(ranking["task"]))
    card, scores = champion_scores.load_candidate_scores(root, task, best["experiment"], best["digest"])
    value = find_objective(task.objective).value(scores, card["dims"])
    figures: dict[str, Any] = {"split": "gate", "incumbent": None, "difference": None, "interval": None}
    # Set before any early return, since `_is_decided` compares them with those of the next ranking.
    figures |= {"margin": ranking["margin"], "ranking_margin": ranking["margin"], "seed_margin": ranking["seed_margin"]}
    figures |= {"reference": references.find_hardest(rows, task, "gate"), "loses_to": [], "candidate": None}
    if not math.isfinite(value):
        return "refused", f"{task.objective} on gate is {value}", figures
    figures["candidate"] = {task.objective: value}
    figures["loses_to"] = references.find_losses(rows, task.objective, task.direction, value, "gate")
    # The serving model is judged again like any other: a new reference may beat it.
    serves = champion is not None and champion["digest"] == best["digest"]
    if figures["loses_to"]:
        stays = "it stays the champion, but " if serves else ""
        losses = references.describe_losses(figures["loses_to"])
        return "refused", f"{stays}{task.objective} {value:.5g} on gate loses to {losses}", figures
    figures["over_reference"] = lead = _measure_lead(task, root, ranking["task"], (card, scores), figures["reference"])
    closest = f", {lead['name']} the closest, by {lead['difference']:.3g}" if lead else ""
    closest += f" (95% {lead['interval'][0]:.3g} to {lead['interval'][1]:.3g})" if lead else ""
    if champion is None:
        return "champion", f"the first of its task that beats every reference on gate{closest}", figures
    if serves:
        return "champion", f"{task.objective} {value:.5g} beats every reference on gate again{closest}", figures
    return _compare(task, root, (card, scores), champion, figures, rows)


def _measure_lead(
    task: Task, root: Path, task_name: str, candidate: Candidate, row: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    """By how much a candidate beats the reference that is hardest to beat; None where that has no scores by item."""
    from genfoundry.evaluation.aggregate import improvement
    from genfoundry.evaluation.objectives import find_objective
    from genfoundry.selection import champion_scores

    (card, scores), objective = candidate, find_objective(task.objective)
    reference = champion_scores.load_reference_scores(root, task_name, row["name"]) if row else {}
    if row is None or any(len(reference.get(need, ())) != len(scores[need]) for need in objective.inputs):
        return None  # a compressor of the whole file, say
    try:
        gain = improvement(scores, reference, objective, card["dims"])
    except UserError:
        return None  # not item by item: features of the same real items, but from another device
    return {"name": row["name"], "difference": gain.value, "interval": _interval(gain)}


def _interval(gain: Estimate) -> list[float] | None:
    return [gain.low, gain.high] if gain.has_interval else None


def _compare(
    task: Task,
    root: Path,
    candidate: Candidate,
    champion: ledger.Decision,
    figures: dict[str, Any],
    rows: Mapping[str, Any],
) -> Outcome:
    """Decide between a candidate that loses to no reference and a champion, by their scores on gate."""
    from genfoundry.evaluation.aggregate import improvement
    from genfoundry.evaluation.objectives import find_objective
    from genfoundry.selection import champion_scores, references, weight_store

    (card, scores), name = candidate, f"the champion {champion['digest'][:12]}"
    try:
        champions = champion_scores.measure_champion(root, task, champion, card, scores)
    except weight_store.WeightsLost as error:
        return "champion", f"{name} is lost: {error}", figures
    except champion_scores.NotMeasurable as error:
        return "challenger", f"{name} stays, since it could not be measured again: {error}", figures
    if champions is None:
        return "champion", f"{name} has other levels, binarisation or labels than the task", figures
    objective, dims = find_objective(task.objective), card["dims"]
    value = objective.value(champions, dims)
    if not math.isfinite(value):
        return "champion", f"{name} has {task.objective} {value} on today's gate", figures
    losses = references.find_losses(rows, task.objective, task.direction, value, "gate")
    # A recipe whose seeds differ widely asks for the wider margin, whichever side it is on.
    figures["margin"] = margin = max(figures["margin"], (champion.get("figures") or {}).get("seed_margin") or 0.0)
    gain = improvement(scores, champions, objective, dims)
    figures |= {"incumbent": {task.objective: value}, "difference": gain.value}
    figures |= {"items": gain.n, "groups": gain.groups, "interval": _interval(gain)}
    improves = f"{task.objective} on gate improves by {gain.value:.5g}"
    if gain.has_interval:
        over = f"{gain.n:,} items" + (f" in {gain.groups:,} independent groups" if gain.groups < gain.n else "")
        improves += f" (95% {gain.low:.5g} to {gain.high:.5g}, {over})"
    if losses:
        lost = references.describe_losses(losses)
        return "champion", f"{improves}; {name} loses there to {lost}, this one to no reference", figures
    if not gain.has_interval:
        return "challenger", f"{improves}, and how sure that is cannot be told from {gain.groups} group", figures
    if gain.low > margin:
        return "champion", f"{improves}, above the margin {margin:.4g}", figures
    return "challenger", f"{improves}, not surely above the margin {margin:.4g}", figures
