"""Downloads by pooch, from places: file:, https:, deb:PACKAGE/PATH, pypi:NAME==VERSION/MEMBER, npm:NAME@VERSION/MEMBER,
package:NAME/PATH.

Nothing that is fetched is run or installed. A place that cannot deliver is `Unreachable`, with its reason; failing to
write what was delivered stays an OSError, since no other place can mend it.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from genfoundry.console.progress import Progress
from genfoundry.data.fetch import web
from genfoundry.data.fetch.archive import read_members
from genfoundry.errors import UserError

CHUNK = 1 << 20
RETRIES = 1  # of a web server whose answer broke off, or has another checksum
APT_PATIENCE = ("-o", "Acquire::http::Timeout=20", "-o", "Acquire::Retries=1")
RELEASE = re.compile(r"((?:@[^/]+/)?[^/]+)(?:/(.*))?")  # and a member of its archive; a scope of npm's has a slash


class Unreachable(Exception):
    """A place does not deliver; the message says why."""


class Downloader:
    """A downloader for pooch that knows every kind of place.

    While it is open, an archive of several files is fetched once, and a host that is down is asked once.
    """

    def __init__(self) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="fetch-")
        self._archives: dict[str, Path | Unreachable] = {}
        self._down: dict[str, str] = {}

    def __enter__(self) -> Downloader:
        return self

    def __exit__(self, *_: object) -> None:
        self._scratch.cleanup()

    def fetch(self, name: str, sha256: str, places: Sequence[str], folder: Path) -> Path:
        """Return the file `folder`/`sha256` with that checksum, fetched from the first place that has it.

        Raises:
            UserError: no place has it; each is named, with its reason.
            OSError: `folder` cannot be written to.
        """
        import pooch
        from requests import RequestException

        pooch.get_logger().setLevel("ERROR")
        reasons = []
        for place in places:
            cache = pooch.create(
                folder, "", registry={sha256: f"sha256:{sha256}"}, urls={sha256: place},
                retry_if_failed=RETRIES if place.startswith("http") else 0,
            )  # fmt: skip
            try:
                return Path(cache.fetch(sha256, downloader=self))
            except Unreachable as error:
                reasons.append(f"{place}: {error}")
            except RequestException as error:
                reasons.append(f"{place}: broke off: {web.explain(error)}")
            except ValueError as error:  # pooch's, of a wrong checksum
                reasons.append(f"{place}: {str(error).rpartition('hash: ')[2].partition('. Deleted')[0]}")
        raise UserError(f"{name}: no place has it:\n  " + "\n  ".join(reasons or ["no place is given"]))

    def __call__(self, url: str, output_file: Any, pooch: Any, check_only: bool = False) -> None:
        """Write the file at a place to the path `output_file`.

        Raises:
            Unreachable: the place does not deliver.
            requests.RequestException: the answer broke off; pooch asks again.
            OSError: the file cannot be written.
        """
        out, (kind, _, rest) = Path(output_file), url.partition(":")
        if kind in ("https", "http"):
            self._download(url, out)
        elif kind == "file":
            _copy(Path(rest.removeprefix("//")).expanduser(), out)
        elif kind == "package":
            _copy(_find_installed(rest), out)
        elif kind == "deb":
            package, _, path = rest.partition("/")
            _copy(self._fetch_once(f"deb:{package}", lambda: self._unpack_debian(package)) / path, out)
        elif kind in ("pypi", "npm") and (match := RELEASE.fullmatch(rest)):
            release, member = match.groups()
            archive = self._fetch_once(f"{kind}:{release}", lambda: self._fetch_release(kind, release))
            _copy_member(archive, member, out) if member else _copy(archive, out)
        else:
            raise Unreachable(f"expected a place of the kind deb, file, https, npm, package or pypi, got {kind!r}")

    def _fetch_once(self, key: str, fetch: Callable[[], Path]) -> Path:
        if key not in self._archives:
            try:
                self._archives[key] = fetch()
            except Unreachable as error:
                self._archives[key] = error
        archive = self._archives[key]
        if isinstance(archive, Unreachable):
            raise archive
        return archive

    def _unpack_debian(self, package: str) -> Path:
        """Return the folder with the unpacked files of a Debian package, which is not installed."""
        folder = Path(self._scratch.name, "deb", package)
        folder.mkdir(parents=True)
        if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
            raise Unreachable("apt-get and dpkg-deb are not here; this is no Debian or Ubuntu")
        download = ["apt-get", *APT_PATIENCE, "download", package]
        fault = _run_apt(download, folder)
        if fault and os.geteuid() == 0:
            _run_apt(["apt-get", *APT_PATIENCE, "update"], folder)
            fault = _run_apt(download, folder)
        elif fault:
            raise Unreachable(f"{fault}; apt's lists may be empty: run `sudo apt-get update`")
        packages = sorted(folder.glob("*.deb"))
        if fault or not packages:
            raise Unreachable(fault or "apt-get download left no file")
        if fault := _run_apt(["dpkg-deb", "-x", str(packages[0]), "files"], folder):
            raise Unreachable(fault)
        return folder / "files"

    def _fetch_release(self, kind: str, release: str) -> Path:
        """Return an archive of NAME==VERSION (pypi; a wheel where there is no source archive) or NAME@VERSION (npm)."""
        from requests import RequestException

        sign, find = ("==", web.find_pypi_archives) if kind == "pypi" else ("@", web.find_npm_archives)
        name, _, version = release.rpartition(sign)
        if not name:
            raise Unreachable(f"expected NAME{sign}VERSION, got {release!r}")
        reasons: list[str] = []
        for link in find(name, version, reasons):
            archive = Path(self._scratch.name, kind, Path(urlsplit(link).path).name)
            archive.parent.mkdir(exist_ok=True)
            try:
                self(link, archive, None)
                return archive
            except (Unreachable, RequestException) as error:
                reasons.append(f"{archive.name}: {error}")
        raise Unreachable("; ".join(reasons))

    def _download(self, url: str, out: Path) -> None:
        """Download a URL with its progress; less than the announced length is an error."""
        import pooch
        import requests

        host = urlsplit(url).netloc.rpartition("@")[2]
        if host in self._down:
            raise Unreachable(self._down[host])
        progress = Progress(f"fetch {Path(urlsplit(url).path).name}", unit="MB")
        download = pooch.HTTPDownloader(progressbar=progress, chunk_size=CHUNK, **web.request_options())
        try:
            download(url, str(out), None)
        except requests.HTTPError as error:
            raise Unreachable(web.explain(error)) from None
        except (requests.ConnectionError, requests.Timeout) as error:
            if out.stat().st_size:  # it did answer
                raise
            self._down[host] = f"{host} cannot be reached: {web.explain(error)}"
            raise Unreachable(self._down[host]) from None
        finally:
            progress.close()


def _run_apt(command: list[str], folder: Path) -> str:
    """Run a command in `folder`; return what it says on failure, or ""."""
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, check=False)
    if done.returncode == 0:
        return ""
    lines = [line for line in done.stderr.splitlines() if line.startswith("E:")] or done.stderr.splitlines()
    return f"{command[0]}: {lines[-1] if lines else f'exit status {done.returncode}'}"


def _find_installed(rest: str) -> Path:
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


def _copy_member(archive: Path, member: str, out: Path) -> None:
    """Write a file of an archive, named by its path with or without the archive's top folder."""
    try:
        for _, content in read_members(archive, lambda name: member in (name, name.partition("/")[2])):
            out.write_bytes(content)
            return
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise Unreachable(f"{archive.name}: not an archive: {error}") from None
    raise Unreachable(f"{archive.name} has no member {member}")
