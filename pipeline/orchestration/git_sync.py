"""Git for retrainings: the branch is brought up to date before, pushed after, and nothing is lost.

The ledger is append-only (`merge=union` in .gitattributes), so a finished run merges with what others pushed meanwhile.
Where git cannot merge, the run's commits stay on a branch of their own, and a message says which.
"""

from __future__ import annotations

import logging
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from genfoundry.console import shell
from genfoundry.errors import UserError
from pipeline.orchestration import uncommitted

SUBJECTS = ("Retrain on new data", "Refuse new data of ")  # how the commits of a retraining begin
logger = logging.getLogger(__name__)
ATTEMPTS = 3  # pushes, each after a merge, while others push too


@dataclass(frozen=True)
class Destination:
    """Where a retraining is pushed to. `upstream` is the remote-tracking branch, "" for a new branch."""

    remote: str
    branch: str
    upstream: str = ""


def find_destination(root: Path, branch: str) -> Destination | None:
    """Return the destination of a retraining, `branch` where that is given; None in a repository without a remote.

    Raises:
        UserError: no branch is checked out and none is given; or git refuses the repository.
    """
    shell.check_repository(root)
    remotes = shell.ask("git", "remote", root=root).split()
    if not remotes:
        return None
    current = shell.ask("git", "symbolic-ref", "-q", "--short", "HEAD", root=root, check=False)
    remote = shell.ask("git", "config", f"branch.{current}.remote", root=root, check=False)
    remote = remote or ("origin" if "origin" in remotes else remotes[0])
    if not current and not branch:
        commit = shell.ask("git", "rev-parse", "--short", "HEAD", root=root)
        raise UserError(
            f"HEAD is detached at {commit}, so the result has no branch to go to; check out a branch, or name one to "
            "push to: make retrain BRANCH=name"
        )
    if branch and branch != current:
        head = shell.ask("git", "symbolic-ref", "-q", "--short", f"refs/remotes/{remote}/HEAD", root=root, check=False)
        # `_push` forces a branch that is given by name: that must never be the main one.
        if head == f"{remote}/{branch}":
            raise UserError(
                f"BRANCH={branch}: that is {remote}'s main branch, which is never overwritten; check it out"
            )
        return Destination(remote, branch)
    merge = shell.ask("git", "config", f"branch.{current}.merge", root=root, check=False)
    name = merge.removeprefix("refs/heads/") or current
    return Destination(remote, name, f"refs/remotes/{remote}/{name}")


def update(root: Path, to: Destination) -> None:
    """Bring the checked-out branch up to date with its upstream; local commits stay, or are kept on a branch.

    Raises:
        UserError: the remote does not answer, or local commits of somebody's own do not merge.
    """
    # CI clones a single commit, but a merge needs the common ancestor, and an old champion the code of its commit.
    if _git(root, "rev-parse", "--is-shallow-repository").stdout.strip() == "true":
        shell.ask("git", "fetch", "-q", "--unshallow", to.remote, root=root)
    shell.ask("git", "fetch", "-q", to.remote, root=root)
    ahead, behind = count_apart(root, to)
    if not behind:
        return
    uncommitted.put_aside(root, to.upstream)
    if not ahead:
        shell.ask("git", "merge", "-q", "--ff-only", to.upstream, root=root)
        return
    _join(root, to)


def _join(root: Path, to: Destination) -> None:
    """Both sides have commits: merge, or begin again from the upstream and keep the local commits on a branch."""
    # The fork point is read from the reflog: it is found even where the upstream's history was rewritten.
    base = _git(root, "merge-base", "--fork-point", to.upstream, "HEAD").stdout.strip()
    base = base or _git(root, "merge-base", to.upstream, "HEAD").stdout.strip()
    local = _git(root, "log", "--format=%s", "--no-merges", f"{base}..HEAD" if base else "HEAD").stdout.splitlines()
    rewritten = _git(root, "merge-base", "--is-ancestor", base, to.upstream).returncode != 0 if base else True
    # Retrainings can be made again, or cherry-picked; a person's commits are never moved without asking.
    if not all(subject.startswith(SUBJECTS) for subject in local):
        raise UserError(
            f"{to.branch} and {to.remote}/{to.branch} have gone apart, and {len(local)} commits here are not a "
            f"retraining's; join them (git pull --no-rebase {to.remote} {to.branch}), then run it again"
        )
    if not rewritten and merge(root, to):
        return
    branch = save_branch(root, "before")
    # Unlike --hard, --keep stops where edits that are not committed would get lost.
    shell.ask("git", "reset", "-q", "--keep", to.upstream, root=root)
    why = f"the history of {to.remote}/{to.branch} was rewritten" if rewritten else "they do not merge"
    logger.warning(
        f"{to.branch} begins again from {to.remote}/{to.branch}: {why}; what was here is branch {branch} "
        f"({len(local)} commits of retrainings; git cherry-pick brings them over)"
    )


def merge(root: Path, to: Destination) -> bool:
    """Merge the upstream into the checked-out branch; return False, with everything as it was, where that conflicts."""
    done = _git(root, *shell.author_options(root), "merge", "-q", "--no-edit", to.upstream)
    if done.returncode:
        _git(root, "merge", "--abort")
    return done.returncode == 0


def save_branch(root: Path, word: str) -> str:
    """Make a branch at HEAD, so that its commits stay; return its name."""
    name = f"retrain-{word}-{shell.ask('git', 'rev-parse', '--short', 'HEAD', root=root)}"
    shell.ask("git", "branch", "-f", name, "HEAD", root=root)
    return name


def check_push(root: Path, to: Destination) -> None:
    """Ask the remote whether it would take a push, before anything is trained for it.

    That somebody has pushed since is no reason: `push` merges.

    Raises:
        UserError: it would not; its reason.
    """
    done = _push(root, to, "--dry-run")
    if done.returncode and not any(word in done.stderr for word in ("(fetch first)", "(non-fast-forward)")):
        raise UserError(
            f"nothing was run: the result could not be pushed to {to.remote} {to.branch}: {_find_reason(done)}"
        )


def push(root: Path, to: Destination) -> None:
    """Push HEAD, after merging what others pushed meanwhile.

    Raises:
        UserError: it cannot be pushed; the commits are on a branch that the message names.
    """
    reason = ""
    for _ in range(ATTEMPTS):
        done = _push(root, to)
        if not done.returncode:
            return
        reason = _find_reason(done)
        if not to.upstream or _git(root, "fetch", "-q", to.remote).returncode or not count_apart(root, to)[1]:
            break
        if not merge(root, to):
            reason = f"{to.remote}/{to.branch} has other commits, which do not merge"
            break
    # The machine of a CI job is gone after it: only a branch on the remote keeps the commits.
    branch = save_branch(root, "kept")
    pushed = _git(root, "push", "-q", to.remote, f"{branch}:refs/heads/{branch}").returncode == 0
    where = f"pushed to {to.remote} as branch {branch}" if pushed else f"kept here as branch {branch}"
    then = f"git fetch {to.remote} && git merge {to.remote}/{branch}" if pushed else f"git push {to.remote} {branch}"
    raise UserError(f"the run is finished, but {to.branch} could not be pushed ({reason}); it is {where}: {then}")


def count_apart(root: Path, to: Destination) -> tuple[int, int]:
    """Count the commits that only HEAD has, and that only the upstream has; none where there is no upstream yet."""
    if not to.upstream or _git(root, "rev-parse", "-q", "--verify", to.upstream).returncode:
        return 0, 0
    ahead, behind = shell.ask("git", "rev-list", "--left-right", "--count", f"HEAD...{to.upstream}", root=root).split()
    return int(ahead), int(behind)


def _push(root: Path, to: Destination, *options: str) -> subprocess.CompletedProcess[str]:
    # A branch that is named for the result alone holds nothing but the last result, which this one replaces.
    force = () if to.upstream else ("-f",)
    return _git(root, "push", "-q", *options, *force, to.remote, f"HEAD:refs/heads/{to.branch}")


def _find_reason(done: subprocess.CompletedProcess[str]) -> str:
    """Return the line of git's that says why, with a hook's words where it gave some."""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip() and not line.startswith("hint:")]
    telling = [line for line in lines if line.startswith(("!", "fatal:", "remote: error", "error:"))]
    words = [line for line in lines if line.startswith("remote:") and line != "remote:"]
    spoken = words[:1] if telling and telling[0].startswith("!") else []
    return " ".join("; ".join([(telling or lines or ["no reason given"])[0], *spoken]).split())


def _git(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}  # a job has nobody to type a password
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, env=environment)
