"""Where the weights of a decided model are: the workspace, the ledger's own store, DVC's cache, a DVC remote.

`find` looks in that order and checks every file's sha256. The ledger's store, .state/weights, has what champions and
the latest challengers are made of as plain files, so that these outlive a retraining that nobody committed.
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

__all__ = ["RemoteUnreachable", "WeightsLost", "describe", "find", "keep", "prune"]

Files = Mapping[str, Mapping[str, Any]]
PLACES = {
    "store": "neither the workspace nor .state/weights has",
    "cache": "neither the workspace nor .state/weights nor the DVC cache has",
    "remotes": "neither the workspace nor .state/weights nor DVC's cache and remotes have",
}


class WeightsLost(UserError):
    """Every place was asked, and none has the weights."""


def describe(folder: Path, root: Path) -> dict[str, Any]:
    """Path and checksums of a model's files, as the ledger keeps them; md5 is the name that DVC stores a file by."""
    files = {}
    for path in sorted(p for p in folder.iterdir() if p.is_file()):
        digests = {"md5": dvc_store.hash_md5(path), "sha256": sha256(path)}
        files[path.name] = {**digests, "size": path.stat().st_size}
    return {"path": folder.relative_to(root).as_posix(), "files": files}


def find(root: Path, weights: Mapping[str, Any], *, farthest: Literal["store", "cache", "remotes"] = "remotes") -> Path:
    """A folder with the files that `weights` (of a ledger line) describes, every checksum verified.

    Args:
        root: the repository.
        weights: "path" and "files", as `describe` gives them.
        farthest: the last place to look in. DVC's cache costs a second, a remote the transfer.

    Raises:
        WeightsLost: none of these places has them.
        RemoteUnreachable: not here, and a remote gave an error.
    """
    files: Files = weights["files"]
    stored = _folder(root, files)
    for folder in (root / str(weights["path"]), stored):
        if _complete(folder, files):
            return folder
    if farthest != "store" and (root / ".dvc").is_dir():
        _fetch(root, files, stored, remotes=farthest == "remotes")
    if not _complete(stored, files):
        missing = ", ".join(str(wanted["sha256"])[:12] for wanted in files.values())
        raise WeightsLost(f"{weights['path']}: weights not found: {PLACES[farthest]} sha256 {missing}")
    return stored


def keep(root: Path, weights: Mapping[str, Any]) -> Path:
    """Put a copy of a model's files into the ledger's store.

    Raises:
        WeightsLost: the workspace does not have them as `weights` describes them.
    """
    files: Files = weights["files"]
    source, stored = root / str(weights["path"]), _folder(root, files)
    if _complete(stored, files):
        return stored
    if not _complete(source, files):
        raise WeightsLost(f"{source}: expected the weights that were decided on, got other files or none")
    _copy(source, stored, files)
    return stored


def prune(root: Path, lines: Iterable[ledger.Decision]) -> None:
    """Remove from the ledger's store what neither a champion nor a latest challenger is made of."""
    lines = list(lines)
    tasks = {line["task"] for line in lines}
    named = [decide(lines, task) for task in tasks for decide in (ledger.find_champion, ledger.find_challenger)]
    wanted = {_folder(root, line["weights"]["files"]) for line in named if line}
    for folder in (root / paths.WEIGHTS).glob("*"):
        if folder not in wanted and not folder.name.startswith("."):  # hidden: another process is filling it
            shutil.rmtree(folder, ignore_errors=True)


def _folder(root: Path, files: Files) -> Path:
    """The folder of the store for these contents."""
    content = {name: wanted["sha256"] for name, wanted in files.items()}
    return root / paths.WEIGHTS / hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def _complete(folder: Path, files: Files) -> bool:
    return all(_matches(folder / name, wanted) for name, wanted in files.items())


def _matches(path: Path, wanted: Mapping[str, Any]) -> bool:
    return path.is_file() and path.stat().st_size == wanted["size"] and sha256(path) == wanted["sha256"]


def _fetch(root: Path, files: Files, into: Path, *, remotes: bool) -> None:
    """Bring files from DVC into the store, where DVC has all of them."""
    if not all("md5" in wanted for wanted in files.values()):
        return
    with tempfile.TemporaryDirectory() as scratch:
        found = {Path(scratch, name): str(wanted["md5"]) for name, wanted in files.items()}
        if not dvc_store.fetch_files(root, found, remotes=remotes):
            _copy(Path(scratch), into, files)


def _copy(source: Path, into: Path, files: Files) -> None:
    with replace_dir(into) as new:
        for name in files:
            shutil.copyfile(source / name, new / name)
