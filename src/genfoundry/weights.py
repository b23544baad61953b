"""Where the weights of a decided model are: in the workspace, in DVC's cache, or in a DVC remote.

`find` looks in that order and checks every file's sha256. The remote is asked in a subprocess, since importing DVC
takes longer than all the rest; `python -m genfoundry.weights ROOT MD5...` is that subprocess.
"""

from __future__ import annotations

import configparser
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genfoundry.types import UserError

STATE = Path(".state/weights")
Files = Mapping[str, Mapping[str, Any]]


class Lost(UserError):
    """Every place was asked, and none has the weights."""


class Unreachable(UserError):
    """A remote that may have the weights could not be asked."""


def describe(folder: Path, root: Path) -> dict[str, Any]:
    """Path and checksums of a model's files, as the ledger keeps them; md5 is the name that DVC stores a file by."""
    files = {}
    for path in sorted(p for p in folder.iterdir() if p.is_file()):
        content = path.read_bytes()
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        files[path.name] = {"md5": md5, "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    return {"path": folder.relative_to(root).as_posix(), "files": files}


def find(root: Path, weights: Mapping[str, Any], *, remote: bool = True) -> Path:
    """A folder with the files that `weights` (of a ledger line) describes, every checksum verified.

    Raises:
        Lost: neither workspace nor cache nor remote has them.
        Unreachable: not here, and the remote gave an error.
    """
    files: Files = weights["files"]
    kept = root / STATE / hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:32]
    for folder in (root / str(weights["path"]), kept):
        if _whole(folder, files):
            return folder
    missing = _collect(cache_folder(root), files, kept)
    if missing and remote and (root / ".dvc").is_dir():
        pull(root, missing)
        missing = _collect(cache_folder(root), files, kept)
    if missing:
        asked = "the DVC cache and the DVC remote have" if remote else "the DVC cache has"
        raise Lost(f"{weights['path']}: weights not found: neither the workspace nor {asked} md5 {', '.join(missing)}")
    return kept


def _whole(folder: Path, files: Files) -> bool:
    return all(_same(folder / name, wanted) for name, wanted in files.items())


def _same(path: Path, wanted: Mapping[str, Any]) -> bool:
    if not path.is_file() or path.stat().st_size != wanted["size"]:
        return False
    return bool(hashlib.sha256(path.read_bytes()).hexdigest() == wanted["sha256"])


def _collect(cache: Path, files: Files, into: Path) -> list[str]:
    """Copy the files out of the cache; returns the md5s that it does not have (or has damaged)."""
    places = {name: cache / wanted["md5"][:2] / wanted["md5"][2:] for name, wanted in files.items()}
    missing = [str(files[name]["md5"]) for name, place in places.items() if not _same(place, files[name])]
    if not missing:
        beside = into.with_name(f"{into.name}.{os.getpid()}")
        beside.mkdir(parents=True, exist_ok=True)
        for name, place in places.items():
            shutil.copyfile(place, beside / name)
        shutil.rmtree(into, ignore_errors=True)
        beside.replace(into)
    return missing


def cache_folder(root: Path) -> Path:
    """The folder of DVC's cache that holds files by md5: `cache.dir` of DVC's settings, else .dvc/cache.

    Read from the files themselves, in the order that DVC does: starting DVC for it takes a second.
    """
    found = root / ".dvc" / "cache"
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    system = os.environ.get("DVC_SYSTEM_CONFIG_DIR", "/etc/xdg/dvc")
    user = os.environ.get("DVC_GLOBAL_CONFIG_DIR", str(home / "dvc"))
    for path in (Path(system) / "config", Path(user) / "config", root / ".dvc/config", root / ".dvc/config.local"):
        parser = configparser.ConfigParser(interpolation=None)
        parser.read(path, encoding="utf-8")
        if value := parser.get("cache", "dir", fallback=None):
            found = (path.parent / value).resolve()
    return found / "files" / "md5"


def cached(root: Path, md5: str) -> Path:
    """Where DVC's cache has the content `md5`, if it has it."""
    return cache_folder(root) / md5[:2] / md5[2:]


def hash_md5(path: Path) -> str:
    """Hex md5 of a file's bytes: the name by which DVC stores its content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def pull(root: Path, md5s: list[str]) -> None:
    """Have DVC bring files from the configured remotes into its cache; one that no remote has is left missing.

    Raises:
        Unreachable: a remote gave an error.
    """
    source = str(Path(__file__).resolve().parents[1])
    paths = os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "genfoundry.weights", str(root), *md5s]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths})
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise Unreachable(f"DVC remote: {reason}")


def _ask(root: Path, md5s: list[str]) -> None:
    """In the subprocess: the default remote first, then the others, until every file is in the cache."""
    from dvc.repo import Repo
    from dvc_data.hashfile.hash_info import HashInfo

    with Repo(str(root)) as repo:
        default = repo.config["core"].get("remote")
        names = sorted(repo.config["remote"], key=lambda name: (name != default, name))
        left = set(md5s)
        for name in names:
            remote = repo.cloud.get_remote_odb(name)
            there = {md5 for md5 in left if _there(remote, md5)}
            if there:
                repo.cloud.pull([HashInfo("md5", md5) for md5 in there], odb=remote)
            left -= there


def _there(remote: Any, md5: str) -> bool:
    """Whether a remote has a file. Some file systems answer False to `exists` when they cannot be reached at all."""
    if remote.exists(md5):
        return True
    try:
        remote.fs.cat_file(remote.oid_to_path(md5))
    except FileNotFoundError:
        return False
    return True


if __name__ == "__main__":
    try:
        _ask(Path(sys.argv[1]), sys.argv[2:])
    except Exception as error:  # whatever a remote's library raises: the caller wants one line
        sys.exit(f"{type(error).__name__}: {' '.join(str(error).split())}")
