"""Real repositories for the end-to-end tests: a smoke run, and clones that share a git origin and a DVC remote."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml

from genfoundry import files
from genfoundry.console import shell

ROOT = Path(__file__).parent.parent.parent
CLEAN = {
    "PYTHONPATH": "src",
    "MLFLOW_TRACKING_URI": "",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "PYTHONDONTWRITEBYTECODE": "",
}


def call(*command: str, root: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command with the tests' own interpreter and its tools first on the path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DVC_", "MLFLOW_", "GENFOUNDRY_"))}
    whole = {**kept, **CLEAN, "PATH": path, **env}
    return subprocess.run(command, cwd=root, env=whole, capture_output=True, text=True, timeout=900)


def pipeline(*words: str, root: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """`python -m pipeline WORDS` in `root`."""
    return call(sys.executable, "-m", "pipeline", *words, root=root, **env)


def command(*words: str, root: Path) -> subprocess.CompletedProcess[str]:
    """`genfoundry WORDS` in `root`."""
    return call(sys.executable, "-m", "pipeline.cli", *words, root=root)


def good(done: subprocess.CompletedProcess[str]) -> str:
    """What a command said that had to succeed."""
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def ran(root: Path) -> list[str]:
    """The stages that the last `repro` ran, in order."""
    log = root / ".state/times.jsonl"
    return [json.loads(line)["stage"] for line in log.read_text().splitlines()] if log.exists() else []


PLAN = "pipeline/dvc.yaml:plan"


def due(root: Path) -> set[str]:
    """The stages whose own command, dependencies or outs are not as dvc.lock has them, less those that always run."""
    good(call("dvc", "repro", "-q", PLAN, root=root))
    done = call("dvc", "status", "--json", root=root)
    assert done.returncode == 0, done.stderr
    return {name for name, changes in json.loads(done.stdout).items() if changes != ["always changed"]}


def change(root: Path, dotted: str, value: Any) -> None:
    """Set a key of a repository's params.yaml."""
    params = yaml.safe_load((root / "params.yaml").read_text())
    *path, last = dotted.split("@")
    node = params
    for part in path:
        node = node[part]
    node[last] = value
    (root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def clone(origin: Path, to: Path, remote: Path | None = None) -> Path:
    """A fresh clone, as `make setup` leaves it, with a DVC remote in a folder."""
    shell.ask("git", "clone", "-q", origin, to, root=origin.parent)
    shell.set_up_clone(ROOT, to)
    if remote:
        (to / ".dvc/config.local").write_text(f"['remote \"storage\"']\n    url = {remote}\n")
    return to


def copy_repository(origin: Path, to: Path) -> Path:
    """A copy of a repository with all its outs, whose MLflow store keeps artifacts in the copy.

    A store names the folder of every experiment's and run's artifacts by its absolute path: with a plain copy of the
    database, a run in the copy would write its artifacts into the original.
    """
    # Less DVC's temporary files, which another worker's command may remove meanwhile.
    leave_out = lambda folder, names: {"tmp"} & set(names) if Path(folder) == origin / ".dvc" else set()  # noqa: E731
    shutil.copytree(origin, to, symlinks=True, ignore=leave_out)
    with closing(sqlite3.connect(to / "mlflow.db")) as store, store:
        tables = [name for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            # Every column, so that a location of another kind of object, or of a newer schema, is not left behind.
            for _, column, *_ in store.execute(f"PRAGMA table_info('{table}')").fetchall():
                change = f'UPDATE "{table}" SET "{column}" = replace("{column}", ?1, ?2) WHERE instr("{column}", ?1)'
                store.execute(change, (f"{origin}/", f"{to}/"))
    return to


RESULTS = ("dvc.lock", "ledger.jsonl", "models", "reports", "mlartifacts", "data/prepared")


def hash_results(root: Path) -> dict[str, str]:
    """SHA-256 of every file of a repository's results, by its path."""
    paths = (path for name in RESULTS for path in (root / name, *(root / name).rglob("*")) if path.is_file())
    return {path.relative_to(root).as_posix(): files.sha256(path) for path in paths}
