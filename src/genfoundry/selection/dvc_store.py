"""Content in DVC's cache and remotes, read by its md5 through DVC's documented API.

A `.dvc` file names content by md5, so `DVCFileSystem` over a scratch repository that has one such file, and the cache
and the remotes of the real repository, reads any content that DVC stores. Neither dvc.lock nor git's history is needed
(a shallow clone has none), no lock of DVC is taken, and DVC's cache is not written to. Everything runs in a subprocess,
since importing DVC takes half a second; `python -m genfoundry.selection.dvc_store` answers a request.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from genfoundry import paths as paths_module
from genfoundry.errors import UserError

CHUNK = 1 << 20
TIMEOUT = 30.0  # seconds that a web server has to answer
# Schemes whose file systems raise an error where the storage does not answer, instead of saying that a file is absent.
RELIABLE = ("s3", "ssh")
Files = Mapping[str, str]


class RemoteUnreachable(UserError):
    """A remote that may have the content could not be asked."""


def hash_md5(path: Path) -> str:
    """Hex md5 of a file's bytes: the name by which DVC stores its content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def fetch_files(root: Path, files: Mapping[Path, str], *, remotes: bool) -> list[Path]:
    """Copy contents out of DVC's cache, then out of its remotes: the default one first, then the others.

    Args:
        root: the DVC repository.
        files: path to write -> md5 of the content. A path is written at once or not at all.
        remotes: whether to ask the remotes for what the cache lacks.

    Returns:
        The paths whose content no place has.

    Raises:
        RemoteUnreachable: a remote gave an error, and no other place has the content.
    """
    wanted = {str(path.absolute()): md5 for path, md5 in files.items()}
    return [Path(path) for path in _request(root, "fetch", wanted, remotes)] if wanted else []


def find_cached(root: Path, md5s: Iterable[str]) -> set[str]:
    """Those contents that DVC's cache has, read and verified."""
    return set(_request(root, "in_cache", {md5: md5 for md5 in md5s}, remotes=False))


def list_folder(root: Path, md5: str) -> dict[str, str] | None:
    """Path -> md5 of the files of a folder that DVC stores as `md5` (it ends in .dir); None where its cache lacks it.

    A list never changes, so that one that was read is remembered in .state: the next question does not start DVC.
    """
    remembered = root / paths_module.DVC_FOLDERS / f"{md5}.json"
    with contextlib.suppress(OSError, ValueError):
        return dict(json.loads(remembered.read_text(encoding="utf-8")))
    listed: dict[str, str] | None = _request(root, "list_folder", {"folder": md5}, remotes=False)
    if listed is not None:
        _write(remembered, json.dumps(listed, sort_keys=True))
    return listed


def _write(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def _request(root: Path, action: str, files: Files, remotes: bool) -> Any:
    source = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH"))))
    request = {"root": str(root.resolve()), "action": action, "files": files, "remotes": remotes}
    command = [sys.executable, "-m", "genfoundry.selection.dvc_store"]
    environment = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run(command, input=json.dumps(request), capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RemoteUnreachable((done.stderr.strip().splitlines() or ["DVC gave no message"])[-1])
    return json.loads(done.stdout.splitlines()[-1])


# What follows runs in the subprocess.


def _fetch(root: Path, files: Files, remotes: bool) -> list[str]:
    config, faults = _config(root), []
    left = _copy(config, None, files)
    for remote in _remotes(config) if remotes and left else ():
        try:
            left = _copy(config, remote, left)
        except Exception as error:  # whatever the library of a remote raises: another remote may have the rest
            faults.append(f"DVC remote {remote}: {type(error).__name__}: {' '.join(str(error).split())}")
    if left and faults:
        raise RemoteUnreachable("; ".join(faults))
    return sorted(left)


def _copy(config: Mapping[str, Any], remote: str | None, files: Files) -> dict[str, str]:
    """Copy what the cache, or one remote, has; returns what is left."""
    left = dict(files)
    with _scratch(config, remote, list(dict.fromkeys(files.values()))) as (repo, system, settings):
        for path, md5 in files.items():
            beside = Path(f"{path}.{os.getpid()}.new")
            try:
                beside.parent.mkdir(parents=True, exist_ok=True)
                system.get_file(md5, str(beside))
                if hash_md5(beside) == md5:  # what is damaged counts as absent
                    beside.replace(path)
                    del left[path]
            except FileNotFoundError:
                if remote:
                    _check_absent(repo, md5, settings)
            finally:
                beside.unlink(missing_ok=True)
    return left


def _in_cache(root: Path, files: Files, remotes: bool) -> list[str]:
    with _scratch(_config(root), None, list(files.values())) as (_, system, _):
        return [md5 for md5 in files.values() if _read_md5(system, md5) == md5]


def _read_md5(system: Any, name: str) -> str | None:
    digest = hashlib.md5(usedforsecurity=False)
    try:
        with system.open(name) as file:
            while block := file.read(CHUNK):
                digest.update(block)
    except FileNotFoundError:
        return None
    return digest.hexdigest()


def _list_folder(root: Path, files: Files, remotes: bool) -> dict[str, str] | None:
    (md5,) = files.values()
    with _scratch(_config(root), None, [md5]) as (_, system, _):
        try:
            entries = system.find(md5, detail=True)
        except Exception:  # DVC has no documented error for a folder whose list is not there
            return None
        return {path.removeprefix("/").removeprefix(f"{md5}/"): entry["md5"] for path, entry in entries.items()}


def _check_absent(repo: str, md5: str, settings: Mapping[str, Any]) -> None:
    """Make sure that a remote answered, where DVC says that a file is not there.

    DVC's file systems for folders and for web servers say so, too, where a folder is not mounted and a server is down.

    Raises:
        OSError: it did not answer, or there is no telling.
    """
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    from dvc.api import get_url

    url = get_url(md5, repo=repo, config=dict(settings))
    scheme = url.partition("://")[0] if "://" in url else "file"
    base = settings["remote"][settings["core"]["remote"]]["url"]
    if scheme == "file":
        if not Path(base.removeprefix("file://")).is_dir():
            raise NotADirectoryError(f"{base} is not there; mount it, or `dvc push` to it, or `dvc remote remove` it")
    elif scheme in ("http", "https"):
        try:
            urlopen(Request(url, method="HEAD"), timeout=TIMEOUT).close()
        except HTTPError as error:
            if error.code in (404, 410):
                return
            raise
        raise ConnectionError(f"{url} is there, but could not be read")
    elif scheme not in RELIABLE:
        raise ConnectionError(f"{base} does not tell a file that is absent from a server that does not answer")


@contextlib.contextmanager
def _scratch(
    config: Mapping[str, Any], remote: str | None, md5s: list[str]
) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """A scratch repository in which each content is a tracked file named by its md5: its folder, file system, settings.

    With a remote's name it has that remote and an empty cache, without one the real cache and no remote.
    """
    from dvc.api import DVCFileSystem

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / ".dvc").mkdir()
        (folder / ".dvc/config").write_text("[core]\n    no_scm = true\n", encoding="utf-8")
        outs = [{"md5": md5, "hash": "md5", "path": md5} for md5 in md5s]
        (folder / "contents.dvc").write_text(json.dumps({"outs": outs}), encoding="utf-8")  # JSON is YAML
        settings: dict[str, Any] = {"core": {"no_scm": True, "site_cache_dir": str(folder / ".dvc/site")}}
        settings["cache"] = {"dir": str(folder / ".dvc/cache") if remote else config["cache"]["dir"]}
        if remote:
            settings["core"]["remote"] = remote
            settings["remote"] = {remote: config["remote"][remote]}
        yield name, DVCFileSystem(name, config=settings), settings


def _config(root: Path) -> dict[str, Any]:
    """DVC's settings of a repository as `dvc config --list` prints them: with absolute paths."""
    config: dict[str, Any] = {"core": {}, "cache": {}, "remote": {}}
    for line in _dvc(root, "config", "--list").splitlines():
        key, _, value = line.partition("=")
        section, _, option = key.partition(".")
        name, _, option = option.rpartition(".")
        entry = config.setdefault(section, {})
        (entry.setdefault(name, {}) if name else entry)[option] = value
    config["cache"].setdefault("dir", str(root / ".dvc/cache"))  # DVC's documented default
    return config


def _remotes(config: Mapping[str, Any]) -> list[str]:
    default = config["core"].get("remote")
    return sorted(config["remote"], key=lambda name: (name != default, name))


def _dvc(root: Path, *words: str) -> str:
    done = subprocess.run([sys.executable, "-m", "dvc", *words], capture_output=True, text=True, cwd=root)
    if done.returncode:
        message = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise RemoteUnreachable(f"dvc {' '.join(words)}: {message}")
    return done.stdout


ACTIONS: dict[str, Callable[[Path, Files, bool], Any]] = {
    "fetch": _fetch,
    "in_cache": _in_cache,
    "list_folder": _list_folder,
}


def _main() -> None:
    request = json.load(sys.stdin)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            answer = ACTIONS[request["action"]](Path(request["root"]), request["files"], request["remotes"])
    except Exception as error:  # the caller wants one line
        sys.exit(str(error) if isinstance(error, UserError) else f"DVC: {type(error).__name__}: {error}")
    print(json.dumps(answer))


if __name__ == "__main__":
    _main()
