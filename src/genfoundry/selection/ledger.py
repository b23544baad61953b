"""The ledger: one canonical JSON line a decision, append-only, in git. It says which model serves a task.

A decision: {"time", "who", "task", "decision": "champion" | "challenger" | "refused", "reason", "experiment", "model",
"digest" (of the model), "data" (digest of the data), "ranking" (sha256 of the ranking), "commit", "clean" (whether the
code was that of the commit), "incumbent" (digest of the champion at the time, or null), "figures" (below), "weights":
{"path", "files": {name: {"md5", "sha256", "size"}}}}.

"figures", all on the split that "split" names (`gate`): "candidate", "incumbent" (the objective's value of each),
"difference", "interval" (95%, of the paired improvement; null where all items are of one group), "items" and "groups"
(what that interval is over), "reference" ({"name", "value"}, the hardest to beat),
"over_reference" ({"name", "difference", "interval"}: by how much the candidate beats it, where that is known item by
item), "loses_to" ([{"name", "role", "value", "by"}], the references that it does not beat), "margin" (that the interval
was compared with), "ranking_margin", "seed_margin" (what the ranking and the candidate's training seeds, on
`val`, asked for). Older lines say "baseline" for "reference", and have no more of these keys.

A decision "champion" makes its model the champion; a later "refused" about the same model says what beats it since.
Neither torch nor numpy is imported: the no-op of `promote` is a read of this file.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from genfoundry import paths
from genfoundry.console import shell
from genfoundry.errors import UserError
from genfoundry.files import file_lock

Decision = dict[str, Any]
DECISIONS = ("champion", "challenger", "refused")
REQUIRED = ("time", "who", "task", "decision", "reason", "experiment", "digest", "data", "ranking", "weights")


def read_decisions(path: Path) -> list[Decision]:
    """Every decision, oldest first; a ledger that does not exist yet is empty.

    Raises:
        UserError: a line is not JSON (an unresolved merge, say) or lacks a key.
    """
    if not path.exists():
        return []
    decisions = []
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if text.strip():  # a union merge may leave empty lines
            try:
                decisions.append(_check(json.loads(text), f"{path}:{number}"))
            except ValueError:
                raise UserError(f"{path}:{number}: not JSON; keep whole lines only, as git has them") from None
    return decisions


def append_decision(path: Path, decision: Decision) -> None:
    """Append one decision in one write; earlier lines are never touched. Safe against other writers.

    Raises:
        UserError: a key is missing, or the file cannot be written.
    """
    # NaN is not JSON: one such line would make other programs refuse the whole file.
    text = json.dumps(_check(decision, str(path)), sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The lock is in .state, since the ledger's own folder is git's.
        with file_lock(path.parent / paths.STATE / path.name), path.open("ab+") as file:
            if (end := file.seek(0, os.SEEK_END)) and os.pread(file.fileno(), 1, end - 1) != b"\n":
                text = "\n" + text  # an editor or a merge took the last newline
            # One write and a sync: a reader sees whole lines, and a decision survives a loss of power.
            os.write(file.fileno(), text.encode())
            os.fsync(file.fileno())
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; free space or make the file writable") from None


def _check(decision: Any, source: str) -> Decision:
    missing = [key for key in REQUIRED if key not in decision] if isinstance(decision, dict) else list(REQUIRED)
    if missing:
        raise UserError(f"{source}: no decision: {', '.join(missing)} missing")
    if decision["decision"] not in DECISIONS:
        raise UserError(f"{source}: decision {decision['decision']!r} is none of {', '.join(DECISIONS)}")
    return dict(decision)


def filter_task(decisions: Iterable[Decision], task: str) -> list[Decision]:
    """The decisions about one task, oldest first."""
    return [decision for decision in decisions if decision["task"] == task]


def find_last(decisions: Iterable[Decision], task: str) -> Decision | None:
    """The latest decision about a task."""
    return next(reversed(filter_task(decisions, task)), None)


def find_recorded_losses(decisions: Iterable[Decision], digest: str) -> list[dict[str, Any]]:
    """The references that a model lost to by the latest decision about it; [] where it lost to none, or none says."""
    of_model = [decision for decision in decisions if decision["digest"] == digest]
    return list((of_model[-1].get("figures") or {}).get("loses_to") or ()) if of_model else []


def find_champion(decisions: Iterable[Decision], task: str) -> Decision | None:
    """The decision that made the present champion."""
    return next((d for d in reversed(filter_task(decisions, task)) if d["decision"] == "champion"), None)


def find_challenger(decisions: Iterable[Decision], task: str) -> Decision | None:
    """The latest challenger since the present champion was made."""
    latest = next((d for d in reversed(filter_task(decisions, task)) if d["decision"] != "refused"), None)
    return latest if latest and latest["decision"] == "challenger" else None


def hash_ranking(ranking: bytes) -> str:
    """Hex sha256 of a ranking's bytes, by which a decision names what it is about."""
    return hashlib.sha256(ranking).hexdigest()


def get_user_name(root: Path) -> str:
    """Who decides: git's user name, else the system's."""
    if name := shell.ask("git", "config", "user.name", root=root, check=False):
        return name
    try:
        return os.environ.get("USER") or getpass.getuser()  # fails in a container without an entry for its user id
    except (KeyError, OSError):
        return "unknown"


def get_commit(root: Path) -> tuple[str | None, bool]:
    """The commit that is checked out, and whether `src` is as that commit has it; (None, False) without git.

    Raises:
        UserError: git refuses the repository: a champion of an unknown commit could not be measured again.
    """
    shell.check_repository(root)
    commit = shell.ask("git", "rev-parse", "-q", "--verify", "HEAD", root=root, check=False) or None
    # Of the commit only `src` is needed to measure a champion again, so only edits there count.
    return commit, commit is not None and not shell.ask("git", "status", "--porcelain", "--", "src", root=root)
