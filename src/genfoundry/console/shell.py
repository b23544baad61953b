"""Subprocesses: git and DVC commands, whose own error messages are shown when they fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from genfoundry import paths as paths_module
from genfoundry.errors import UserError

IDENTITY = ("-c", "user.name=GenFoundry", "-c", "user.email=genfoundry@localhost")
FAREWELLS = ("Having any troubles?", "hint:", "Aborting")  # last lines of DVC and git that say nothing


def ask(*command: str | Path, root: Path, check: bool = True) -> str:
    """Run a command and return what it prints.

    Raises:
        UserError: it failed, with its own line that says why, or it is not installed; without `check`, neither raises.
    """
    words = [str(part) for part in command]
    if shutil.which(words[0]) is None:  # as git in a small container that serves a champion
        if check:
            raise UserError(f"expected the program {words[0]} on the PATH, got none")
        return ""
    done = subprocess.run(words, cwd=root, capture_output=True, text=True, errors="replace")
    if check and done.returncode:
        raise UserError(f"{' '.join(map(str, command))}: {find_reason(done.stderr.strip() or done.stdout)}")
    return done.stdout.strip()


def find_reason(text: str) -> str:
    """The line of a failed command's output that says why: its last error, else the last line that is no farewell."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith(FAREWELLS)]
    errors = [line for line in lines if line.lower().startswith(("error:", "fatal:"))]
    return (errors or lines or ["no reason given"])[-1]


def show(*command: str | Path, root: Path, env: dict[str, str] | None = None) -> int:
    """Run a command with its output passed through; returns its exit status."""
    # What was printed so far must come before the output of the command.
    sys.stdout.flush()
    return subprocess.run([str(part) for part in command], cwd=root, env={**os.environ, **(env or {})}).returncode


def check_repository(root: Path) -> None:
    """Refuse a repository that git refuses since another user owns it.

    Raises:
        UserError: the reason, and the command that helps.
    """
    done = _run_rev_parse(root)
    if done.returncode and "dubious ownership" in done.stderr:
        raise UserError(
            f"git refuses {root.resolve()}, since another user owns it; run: "
            f"git config --global --add safe.directory {root.resolve()}"
        )


def check_versioned(root: Path) -> None:
    """Refuse a folder that is no git repository, such as an unpacked archive: DVC does, without saying what helps.

    Raises:
        UserError: it is none, and DVC's setting core.no_scm is not true.
    """
    outside = (root / ".dvc").is_dir() and "not a git repository" in _run_rev_parse(root).stderr
    if outside and ask("dvc", "config", "core.no_scm", root=root, check=False).lower() != "true":
        raise UserError(
            f"{root.resolve()} is no git repository, which DVC needs: clone the project, or make it one: "
            "git init && git add -A && git commit -m begin"
        )


def _run_rev_parse(root: Path) -> subprocess.CompletedProcess[str]:
    if shutil.which("git") is None:
        return subprocess.CompletedProcess((), 127, "", "")  # the status by which shells say that a program is missing
    # Git translates its messages, of which two are looked for above.
    environment = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(["git", "rev-parse"], cwd=root, capture_output=True, text=True, env=environment)


def commit(root: Path, message: str, *paths: str) -> bool:
    """Commit `paths` as they are now, and nothing else that may be staged; False when nothing in them changed."""
    existing = [path for path in paths if (root / path).exists()]
    ask("git", "add", "--", *existing, root=root)
    changed = ask("git", "diff", "--cached", "--name-only", "--no-renames", "-z", "--", *existing, root=root)
    # Git would take brackets and asterisks in a file's name for a pattern.
    names = [f":(literal){name}" for name in changed.split("\0") if name]
    if names:
        # Named files only: what a person has staged besides stays staged.
        ask("git", *author_options(root), "commit", "-q", "-m", message, "--", *names, root=root)
    return bool(names)


def author_options(root: Path) -> tuple[str, ...]:
    """Options that name an author for git, where its settings name none."""
    return () if ask("git", "config", "user.email", root=root, check=False) else IDENTITY


def make_working_copy(root: Path, to: Path) -> Path:
    """Make a repository in `to` that holds `root`'s working tree (what git does not ignore), committed."""
    for name in ask("git", "ls-files", "-co", "--exclude-standard", root=root).splitlines():
        if (root / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, to / name)
    ask("git", "init", "-q", "-b", "main", root=to)
    ask("git", "add", "-A", root=to)
    ask("git", *IDENTITY, "commit", "-q", "-m", "working copy", root=to)
    set_up_clone(root, to)
    return to


def set_up_clone(root: Path, clone: Path) -> None:
    """Do what `make setup` does, but for the environment: make inboxes, and copy the downloads that were checked."""
    for tracked in (clone / paths_module.INBOXES).glob("*.dvc"):
        tracked.with_suffix("").mkdir(exist_ok=True)
    downloads = root / paths_module.DOWNLOADS
    if downloads.exists():
        # A test of the pipeline must not depend on the network, nor burden a server.
        shutil.copytree(downloads, clone / paths_module.DOWNLOADS, dirs_exist_ok=True)
