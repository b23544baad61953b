"""Content of DVC's cache and remotes, read by its md5 through DVC's documented API.

A `.dvc` file names content by md5. `DVCFileSystem` over a scratch repository that has one such file, with the cache and
the remotes of the real repository, therefore reads any content that DVC stores. Neither dvc.lock nor git's history is
needed (a shallow clone has none), no lock of DVC is taken, and DVC's cache is not written to. All of it runs in a
subprocess, since importing DVC takes half a second: `python -m genfoundry.selection.dvc_store` answers a request.
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

from genfoundry import files, paths
from genfoundry.errors import UserError

TIMEOUT = 30.0  # seconds that a web server has to answer
# Schemes whose file systems raise an error where the storage does not answer, instead of saying that a file is absent.
RELIABLE = ("s3", "ssh")


class RemoteUnreachable(UserError):
    """A remote that may have the content did not answer."""


def hash_md5(path: Path) -> str:
    """Hex md5 of a file's bytes: the name by which DVC stores its content."""
    with path.open("rb") as file:
        return _digest(file)


def _digest(file: Any) -> str:
    return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def fetch_files(root: Path, wanted: Mapping[Path, str], *, remotes: bool) -> list[Path]:
    """Copy contents out of DVC's cache, then out of its remotes: the default one first, then the others.

    Args:
        root: the DVC repository.
        wanted: path to write -> md5 of the content. A path is written at once or not at all.
        remotes: whether to ask the remotes for what the cache lacks.

    Returns:
        The paths whose content is neither in the cache nor in a remote.

    Raises:
        RemoteUnreachable: a remote gave an error, and no other one has the content.
    """
    md5s = {str(path.absolute()): md5 for path, md5 in wanted.items()}
    return [Path(path) for path in _request(root, "fetch", md5s=md5s, remotes=remotes)] if md5s else []


def find_cached(root: Path, md5s: Iterable[str]) -> set[str]:
    """The contents that DVC's cache has, read and verified."""
    return set(_request(root, "find_cached", md5s=list(md5s)))


def list_folder(root: Path, md5: str) -> dict[str, str] | None:
    """Path -> md5 of the files of a folder that DVC stores as `md5` (it ends in .dir); None where its cache lacks it.

    A list never changes: once read it is remembered in .state, so that the next call does not start DVC.
    """
    remembered = root / paths.DVC_FOLDERS / f"{md5}.json"
    with contextlib.suppress(UserError):
        return dict(files.read_json(remembered))
    listed: dict[str, str] | None = _request(root, "list_folder", md5=md5)
    if listed is not None:
        files.write_json(remembered, listed)
    return listed


def _request(root: Path, action: str, **arguments: Any) -> Any:
    # The subprocess imports this very package, also from a copy of the repository that is not the installed one.
    source = str(Path(__file__).resolve().parents[2])
    python_path = os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-m", "genfoundry.selection.dvc_store"],
        input=json.dumps({"action": action, "root": str(root.resolve()), "arguments": arguments}),
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": python_path},
    )
    if done.returncode:
        raise RemoteUnreachable((done.stderr.strip().splitlines() or ["DVC gave no message"])[-1])
    return json.loads(done.stdout.splitlines()[-1])


# What follows runs in the subprocess.


def _fetch(root: Path, md5s: Mapping[str, str], remotes: bool) -> list[str]:
    config, faults = _read_config(root), []
    missing = _copy(config, None, md5s)
    default = config["core"].get("remote")
    # The default remote is the likeliest to have it, and every question to a remote costs seconds.
    for remote in sorted(config["remote"], key=lambda name: (name != default, name)) if remotes else ():
        if not missing:
            break
        try:
            missing = _copy(config, remote, missing)
        except Exception as error:  # whatever the library of a remote raises: another remote may have the rest
            faults.append(f"DVC remote {remote}: {type(error).__name__}: {' '.join(str(error).split())}")
    if missing and faults:
        raise RemoteUnreachable("; ".join(faults))
    return sorted(missing)


def _copy(config: Mapping[str, Any], remote: str | None, md5s: Mapping[str, str]) -> dict[str, str]:
    """Copy what the cache, or one remote, has; returns what it lacks."""
    missing = dict(md5s)
    with _open_scratch(config, remote, dict.fromkeys(md5s.values())) as (repo, system, settings):
        for path, md5 in md5s.items():
            # Verified beside, then renamed: a transfer that is killed leaves nothing under the final name.
            beside = Path(f"{path}.{os.getpid()}.new")
            try:
                beside.parent.mkdir(parents=True, exist_ok=True)
                system.get_file(md5, str(beside))
                if hash_md5(beside) == md5:  # what is damaged counts as absent
                    beside.replace(path)
                    del missing[path]
            except FileNotFoundError:
                if remote:
                    _check_absent(repo, md5, settings)
            finally:
                beside.unlink(missing_ok=True)
    return missing


def _find_cached(root: Path, md5s: list[str]) -> list[str]:
    cached = []
    with _open_scratch(_read_config(root), None, md5s) as (_, system, _):
        for md5 in md5s:
            with contextlib.suppress(FileNotFoundError), system.open(md5) as file:
                cached += [md5] * (_digest(file) == md5)
    return cached


def _list_folder(root: Path, md5: str) -> dict[str, str] | None:
    with _open_scratch(_read_config(root), None, [md5]) as (_, system, _):
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
def _open_scratch(
    config: Mapping[str, Any], remote: str | None, md5s: Iterable[str]
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
        # Without a cache folder of its own, DVC would leave an index of every scratch repository in the system's.
        settings: dict[str, Any] = {"core": {"no_scm": True, "site_cache_dir": str(folder / ".dvc/site")}}
        settings["cache"] = {"dir": str(folder / ".dvc/cache") if remote else config["cache"]["dir"]}
        if remote:
            settings["core"]["remote"] = remote
            settings["remote"] = {remote: config["remote"][remote]}
        yield name, DVCFileSystem(name, config=settings), settings


def _read_config(root: Path) -> dict[str, Any]:
    """DVC's settings of a repository as `dvc config --list` prints them: with absolute paths."""
    done = subprocess.run([sys.executable, "-m", "dvc", "config", "--list"], capture_output=True, text=True, cwd=root)
    if done.returncode:
        message = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise RemoteUnreachable(f"dvc config --list: {message}")
    config: dict[str, Any] = {"core": {}, "cache": {}, "remote": {}}
    for line in done.stdout.splitlines():
        key, _, value = line.partition("=")
        section, _, option = key.partition(".")
        name, _, option = option.rpartition(".")  # a remote's name may have dots
        entry = config.setdefault(section, {})
        (entry.setdefault(name, {}) if name else entry)[option] = value
    config["cache"].setdefault("dir", str(root / ".dvc/cache"))  # DVC's documented default
    return config


ACTIONS: dict[str, Callable[..., Any]] = {"fetch": _fetch, "find_cached": _find_cached, "list_folder": _list_folder}


def _main() -> None:
    request = json.load(sys.stdin)
    try:
        # Standard output is for the answer alone: DVC and the libraries of remotes print progress and notices.
        with contextlib.redirect_stdout(sys.stderr):
            answer = ACTIONS[request["action"]](Path(request["root"]), **request["arguments"])
    except Exception as error:  # the caller wants one line
        sys.exit(str(error) if isinstance(error, UserError) else f"DVC: {type(error).__name__}: {error}")
    print(json.dumps(answer))


if __name__ == "__main__":
    _main()
