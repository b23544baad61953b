"""Uncommitted edits in a retraining: which are stashed, and which are refused."""

from __future__ import annotations

import logging
from pathlib import Path

from genfoundry.console import shell
from genfoundry.errors import UserError

logger = logging.getLogger(__name__)
WRITTEN = ("dvc.lock", "reports/", "data/inbox/")  # what runs write into git, less the ledger, and make anew


def put_aside(root: Path, upstream: str) -> None:
    """Make way for the branch `upstream`: edits of files that it changed too go to git's stash, where runs write them.

    A run that was stopped leaves such edits; they must not stop the next one, which makes the files anew.

    Raises:
        UserError: others are edited, or files that git does not track are in the way.
    """
    name = upstream.removeprefix("refs/remotes/")
    here = {*_list(root, "diff", "HEAD"), *_list(root, "ls-files", "-o", "--exclude-standard")}
    # A merge keeps edits of files that the other side did not touch.
    clash = sorted(here & set(_list(root, "diff", "HEAD", upstream)))
    if others := [path for path in clash if not path.startswith(WRITTEN)]:
        raise UserError(
            f"edits here that are not committed are in the way of {name}, which changed the same "
            f"files: {', '.join(others[:8])}; commit them, or put them aside (git stash -u), then run it again"
        )
    if clash:
        message = "what a retraining wrote and did not commit"
        shell.ask(
            "git", *shell.author_options(root), "stash", "push", "-q", "-u", "-m", message, "--", *clash, root=root
        )
        logger.warning(
            "%s: an earlier run's edits, not committed, make way for %s; they are kept in git's stash (git stash list)",
            ", ".join(clash[:8]),
            name,
        )


def _list(root: Path, command: str, *arguments: str) -> list[str]:
    """List the paths that `git diff` or `git ls-files` names, from the repository's root."""
    # -z, because git quotes names that are not ASCII; no renames, so that both paths of one are listed.
    options = ("--name-only", "--no-renames") if command == "diff" else ()
    return [path for path in shell.ask("git", command, "-z", *options, *arguments, root=root).split("\0") if path]


def check_committed(root: Path, *paths: str) -> None:
    """Refuse edits of `paths` that are not committed: what is made from them would be pushed as the last commit's.

    Raises:
        UserError: names the files.
    """
    edited = [*_list(root, "diff", "HEAD", "--", *paths), *_list(root, "ls-files", "-o", "--exclude-standard", *paths)]
    if edited:
        raise UserError(
            f"nothing was run: {', '.join(edited[:8])}{' ...' if len(edited) > 8 else ''}: edits that are not "
            "committed, so no other clone could make the result again; commit them (git add, git commit), then run it "
            "again, or try them with `make repro`"
        )
