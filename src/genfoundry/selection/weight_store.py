"""Weights of the models in the ledger: found in the workspace, the ledger's store, DVC's cache or a DVC remote.

`find` looks in that order and checks the sha256 of every file. The ledger's store holds the files of champions and of
the latest challengers as they are, so that these outlive a retraining that nobody committed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from genfoundry import paths
from genfoundry.errors import UserError
from genfoundry.files import replace_dir, sha256
from genfoundry.selection import dvc_store, ledger
from genfoundry.selection.dvc_store import RemoteUnreachable

__all__ = ["RemoteUnreachable", "WeightsLost", "describe", "find", "find_champion", "keep", "prune"]

Files = Mapping[str, Mapping[str, Any]]  # name -> "md5", "sha256", "size"
SEARCHED = {
    "store": "neither the workspace nor .state/weights has",
    "cache": "neither the workspace nor .state/weights nor the DVC cache has",
    "remotes": "neither the workspace nor .state/weights nor DVC's cache and remotes have",
}


class WeightsLost(UserError):
    """Every place was searched, and none has the weights."""


def describe(folder: Path, root: Path) -> dict[str, Any]:
    """Path and checksums of a model's files, as the ledger records them; md5 is the name that DVC stores a file by."""
    files = {
        path.name: {"md5": dvc_store.hash_md5(path), "sha256": sha256(path), "size": path.stat().st_size}
        for path in sorted(folder.iterdir())
        if path.is_file()
    }
    return {"path": folder.relative_to(root).as_posix(), "files": files}


def find(root: Path, weights: Mapping[str, Any], *, farthest: Literal["store", "cache", "remotes"] = "remotes") -> Path:
    """A folder with the files that `weights` (of a decision) describes, every checksum verified.

    Args:
        root: the repository.
        weights: "path" and "files", as `describe` gives them.
        farthest: the last place to look in. DVC's cache costs a second, a remote the transfer.

    Raises:
        WeightsLost: none of these places has them.
        RemoteUnreachable: not here, and a remote gave an error.
    """
    files: Files = weights["files"]
    stored = _stored_folder(root, files)
    for folder in (root / str(weights["path"]), stored):
        if _is_complete(folder, files):
            return folder
    # Lines of the ledger from before md5 was recorded cannot be looked up in DVC.
    md5s = {name: str(file["md5"]) for name, file in files.items() if "md5" in file}
    if farthest != "store" and (root / ".dvc").is_dir() and len(md5s) == len(files):
        with tempfile.TemporaryDirectory() as scratch:
            # Into a scratch folder first, so that a partial download never becomes a stored model.
            wanted = {Path(scratch, name): md5 for name, md5 in md5s.items()}
            if not dvc_store.fetch_files(root, wanted, remotes=farthest == "remotes"):
                _copy(Path(scratch), stored, files)
    if not _is_complete(stored, files):
        missing = ", ".join(str(file["sha256"])[:12] for file in files.values())
        raise WeightsLost(f"{weights['path']}: weights not found: {SEARCHED[farthest]} sha256 {missing}")
    return stored


def find_champion(root: Path, task: str) -> tuple[ledger.Decision, Path]:
    """The decision that made a task's champion, and a folder with its weights (`find`).

    Raises:
        UserError: the task has none; the message lists those that have.
        WeightsLost: the weights are nowhere.
    """
    decisions = ledger.read_decisions(root / paths.LEDGER)
    champion = ledger.find_champion(decisions, task)
    if champion is None:
        tasks = sorted({line["task"] for line in decisions if line["decision"] == "champion"})
        serving = ", ".join(tasks) or "none yet: `make repro` makes them"
        raise UserError(f"expected a task with a champion ({serving}), got {task!r}")
    # The ledger names weights by checksum: a model that was retrained since does not serve in the champion's place.
    return champion, find(root, champion["weights"])


def keep(root: Path, weights: Mapping[str, Any]) -> Path:
    """Put a copy of a model's files into the ledger's store; returns its folder.

    Raises:
        WeightsLost: the workspace does not have them as `weights` describes them.
    """
    files: Files = weights["files"]
    source, stored = root / str(weights["path"]), _stored_folder(root, files)
    if not _is_complete(stored, files):
        if not _is_complete(source, files):
            raise WeightsLost(f"{source}: expected the weights that were decided on, got other files or none")
        _copy(source, stored, files)
    return stored


def prune(root: Path, decisions: Iterable[ledger.Decision]) -> None:
    """Remove weights from the ledger's store, except those of champions and of the latest challengers."""
    decisions = list(decisions)
    tasks = {decision["task"] for decision in decisions}
    serving = [choose(decisions, task) for task in tasks for choose in (ledger.find_champion, ledger.find_challenger)]
    needed = {_stored_folder(root, decision["weights"]["files"]) for decision in serving if decision}
    for folder in (root / paths.WEIGHTS).glob("*"):
        if folder not in needed and not folder.name.startswith("."):  # hidden: another process is filling it
            shutil.rmtree(folder, ignore_errors=True)


def _stored_folder(root: Path, files: Files) -> Path:
    """The folder of the store for these contents."""
    # Named by content: equal weights of two tasks, or of two decisions, are stored once.
    content = {name: file["sha256"] for name, file in files.items()}
    return root / paths.WEIGHTS / hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def _is_complete(folder: Path, files: Files) -> bool:
    return all(
        # The size tells most differences without reading the file.
        (path := folder / name).is_file() and path.stat().st_size == file["size"] and sha256(path) == file["sha256"]
        for name, file in files.items()
    )


def _copy(source: Path, into: Path, files: Files) -> None:
    with replace_dir(into) as new:
        for name in files:
            shutil.copyfile(source / name, new / name)
