"""A file or folder of the user's own as a source: which files it has, their digest, a copy of them.

Links to files and folders are followed, hidden files are left out. Links whose target is missing, and what is no
regular file (a pipe, a socket), are left out and counted. Only contents are copied, not modes: a copy of a read-only
folder can be removed.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from genfoundry import files as files_module
from genfoundry import paths
from genfoundry.console.progress import track
from genfoundry.data.readers.listing import printable, require_utf8, scan_folder
from genfoundry.errors import UserError

logger = logging.getLogger(__name__)
CHUNK = 1 << 20
UNREAD = "a link whose target is missing or holds the link, or no regular file"
Stamp = tuple[int, int]  # bytes, modification time in ns


def list_files(source: Path) -> dict[str, Path]:
    """Every file of a source by its path within it; a single file is listed under its own name.

    Raises:
        UserError: a folder cannot be read, or a name is not UTF-8.
    """
    if source.is_dir():
        return {path.relative_to(source).as_posix(): path for path in scan_folder(source).files}
    require_utf8(source.parent, source.name)
    return {source.name: source} if source.is_file() else {}


def copy(source: Path, target: Path) -> str:
    """Copy a source's files into the folder `target`; returns the digest of what was copied.

    Raises:
        UserError: a file cannot be read.
        OSError: `target` cannot be written.
    """
    if unread := scan_folder(source).dangling:
        more = f" and {len(unread) - 1} more" if len(unread) > 1 else ""
        logger.warning("%s: left out: %s%s: %s", source, unread[0].relative_to(source), more, UNREAD)
    files, digests = list_files(source), {}
    for name, path in track(files.items(), len(files), f"copying {printable(source)}"):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        _copy_file(path, target / name)
        digests[name] = sha256(target / name)
    return combine(digests)


def _copy_file(source: Path, target: Path) -> None:
    with _reading(source):
        reader = source.open("rb")
    with reader, target.open("wb") as writer:
        shutil.copyfileobj(reader, writer, CHUNK)


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes.

    Raises:
        UserError: the file cannot be read.
    """
    with _reading(path):
        return files_module.sha256(path)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{printable(path)}: cannot be read: {error.strerror}") from None


def digest(source: Path) -> str:
    """The digest of a source's files as they are now."""
    return combine({name: sha256(path) for name, path in list_files(source).items()})


def combine(digests: Mapping[str, str]) -> str:
    """One digest of files' names and contents."""
    total = hashlib.sha256()
    for name in sorted(digests):
        total.update(f"{name}\0".encode() + bytes.fromhex(digests[name]))
    return total.hexdigest()


class Record:
    """What this machine knows of a source: each file's digest by its size and time, and what was last taken, when.

    It is kept in .state, so that an unchanged source is not read again; outs depend on the digests alone.
    """

    def __init__(self, root: Path, name: str) -> None:
        self.path = root / paths.SOURCE_STAMPS / f"{name}.json"
        self.changes = ""  # how the last `digests` differed from what was recorded, in words
        self._content: dict[str, Any] = {}
        if self.path.exists():
            try:
                self._content = dict(files_module.read_json(self.path))
            except (UserError, TypeError, ValueError):  # damaged: everything is read again
                self._content = {}

    @property
    def taken(self) -> dict[str, str]:
        """`time` (ISO) and `digest` of the last copy; empty before the first."""
        return dict(self._content.get("taken", {}))

    def note_taken(self, digest: str) -> None:
        """Remember that the content `digest` was copied now."""
        self._content["taken"] = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "digest": digest}
        self._write()

    def digests(self, files: Mapping[str, Path]) -> dict[str, str]:
        """sha256 of every file; files whose size and time are as recorded are not read.

        Raises:
            UserError: a file cannot be read.
        """
        before: dict[str, list[Any]] = self._content.get("files", {})
        after: dict[str, list[Any]] = {}
        for name, path in track(files.items(), len(files), "reading the source"):
            same, stamp = before.get(name), list(_stamp(path))
            after[name] = same if same and same[:2] == stamp else [*stamp, sha256(path)]
        if after != before:
            self.changes = _count_changes(before, after)
            self._content["files"] = after
            self._write()
        return {name: entry[2] for name, entry in after.items()}

    def _write(self) -> None:
        files_module.write_json(self.path, self._content)


def _count_changes(before: Mapping[str, list[Any]], after: Mapping[str, list[Any]]) -> str:
    added, removed = after.keys() - before.keys(), before.keys() - after.keys()
    changed = sum(before[name][2] != after[name][2] for name in before.keys() & after.keys())
    return f"{len(added)} files added, {changed} changed, {len(removed)} removed" if before else ""


def _stamp(path: Path) -> Stamp:
    with _reading(path):
        status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"{printable(path)}: expected a regular file")
    return status.st_size, status.st_mtime_ns
