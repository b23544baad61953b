"""A file or folder of the user's own as a source: which files it has, their digest, a copy of them.

Links to files and folders are followed. Links whose target is missing, and what is no regular file (a pipe, a socket),
are left out and counted. Only contents are copied, not modes: a copy of a read-only folder can be removed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from genfoundry import checkpoint
from genfoundry.data.progress import told
from genfoundry.types import UserError

STATE = Path(".state/sources")
CHUNK = 1 << 20
Stamp = tuple[int, int]  # bytes, modification time in ns


@dataclass(frozen=True)
class Listing:
    """Regular files by their path within the source, and what was left out (path and reason)."""

    files: dict[str, Path]
    skipped: list[str] = field(default_factory=list)


def list_files(source: Path) -> Listing:
    """Every regular file of a source, sorted by path; a single file is listed under its own name.

    Raises:
        UserError: a folder of the source cannot be read.
    """
    if not source.is_dir():
        return Listing({source.name: source} if source.is_file() else {})
    skipped: list[str] = []
    files = dict(sorted(_walk(source, "", (), skipped)))
    return Listing(files, sorted(skipped))


def _walk(folder: Path, within: str, above: tuple[str, ...], skipped: list[str]) -> Iterator[tuple[str, Path]]:
    """(path within the source, path); a link to a folder that holds it is left out, since it would never end."""
    real = os.path.realpath(folder)
    if real in above:
        skipped.append(f"{within or folder} (a link to a folder that holds it)")
        return
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise UserError(f"{folder}: cannot be read: {error.strerror}") from None
    for entry in entries:
        name = f"{within}/{entry.name}" if within else entry.name
        if entry.is_dir():
            yield from _walk(Path(entry.path), name, (*above, real), skipped)
        elif entry.is_file():
            yield name, Path(entry.path)
        else:
            reason = "a link whose target is missing" if entry.is_symlink() else "no regular file"
            skipped.append(f"{name} ({reason})")


def copy(source: Path, target: Path) -> str:
    """Copy a source's files into the folder `target`; returns the digest of what was copied.

    Raises:
        UserError: a file cannot be read.
        OSError: `target` cannot be written.
    """
    listing = list_files(source)
    if listing.skipped:
        more = f" and {len(listing.skipped) - 1} more" if len(listing.skipped) > 1 else ""
        print(f"{source}: left out: {printable(listing.skipped[0])}{more}", file=sys.stderr)
    digests = {}
    for name, path in told(listing.files.items(), len(listing.files), f"copying {printable(source)}"):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        _copy_file(path, target / name)
        digests[name] = sha256(target / name)
    return combine(digests)


def _copy_file(source: Path, target: Path) -> None:
    try:
        reader = source.open("rb")
    except OSError as error:
        raise UserError(f"{printable(source)}: cannot be read: {error.strerror}") from None
    with reader, target.open("wb") as writer:
        shutil.copyfileobj(reader, writer, CHUNK)


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        return checkpoint.sha256(path)
    except OSError as error:
        raise UserError(f"{printable(path)}: cannot be read: {error.strerror}") from None


def digest(source: Path) -> str:
    """The digest of a source's files as they are now."""
    return combine({name: sha256(path) for name, path in list_files(source).files.items()})


def combine(digests: Mapping[str, str]) -> str:
    """One digest of files' names and contents."""
    total = hashlib.sha256()
    for name in sorted(digests, key=os.fsencode):
        total.update(os.fsencode(name) + b"\0" + bytes.fromhex(digests[name]))
    return total.hexdigest()


def printable(name: str | Path) -> str:
    """A file name for a message: bytes that are no UTF-8 are shown escaped."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


class Record:
    """What this machine knows of a source: each file's digest by its size and time, and what was last taken, when.

    It is kept in .state, so that an unchanged source is not read again; outs depend on the digests alone.
    """

    def __init__(self, root: Path, name: str) -> None:
        self.path = root / STATE / f"{name}.json"
        self.changes = ""  # how the last `digests` differed from what was recorded, in words
        self._content: dict[str, Any] = {}
        if self.path.exists():
            try:
                self._content = dict(checkpoint.read_json(self.path))
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

    def digests(self, listing: Listing) -> dict[str, str]:
        """sha256 of every file; files whose size and time are as recorded are not read.

        Raises:
            UserError: a file cannot be read.
        """
        before: dict[str, list[Any]] = self._content.get("files", {})
        after: dict[str, list[Any]] = {}
        for name, path in told(listing.files.items(), len(listing.files), "reading the source"):
            key, stamp = printable(name), list(_stamp(path))
            same = before.get(key)
            after[key] = same if same and same[:2] == stamp else [*stamp, sha256(path)]
        if after != before:
            self.changes = _count_changes(before, after)
            self._content["files"] = after
            self._write()
        return {name: after[printable(name)][2] for name in listing.files}

    def _write(self) -> None:
        checkpoint.write_json(self.path, self._content)


def _count_changes(before: Mapping[str, list[Any]], after: Mapping[str, list[Any]]) -> str:
    added, removed = after.keys() - before.keys(), before.keys() - after.keys()
    changed = sum(before[name][2] != after[name][2] for name in before.keys() & after.keys())
    return f"{len(added)} files added, {changed} changed, {len(removed)} removed" if before else ""


def _stamp(path: Path) -> Stamp:
    try:
        status = path.stat()
    except OSError as error:
        raise UserError(f"{printable(path)}: cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"{printable(path)}: expected a regular file")
    return status.st_size, status.st_mtime_ns
