"""The files of a folder in one order everywhere: links are followed, hidden and system files are left out."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from genfoundry.errors import UserError

SYSTEM = {"@eadir", "__macosx", "#recycle", "@recycle", "$recycle.bin", "system volume information", "lost+found"}
SYSTEM |= {"thumbs.db", "ehthumbs.db", "desktop.ini"}


@dataclass(frozen=True)
class Listing:
    """Files below a folder, sorted by path; `dangling` are links that lead nowhere or back, sockets and the like."""

    files: list[Path] = field(default_factory=list)
    dangling: list[Path] = field(default_factory=list)


def scan_folder(folder: Path) -> Listing:
    """List every file below a folder that is not hidden; nothing where there is no such folder.

    Raises:
        UserError: a name is not UTF-8 (neither YAML, JSON nor DVC could hold it), or a folder cannot be read.
    """
    files: list[str] = []
    dangling: list[str] = []
    if folder.is_dir():
        _walk(folder, "", (_identity(os.stat(folder)),), files, dangling)
    return Listing([folder / name for name in sorted(files)], [folder / name for name in sorted(dangling)])


def _walk(root: Path, below: str, parents: tuple[object, ...], files: list[str], dangling: list[str]) -> None:
    """Add what lies in the folder `below` to both lists; `parents` are those on the way, so that no link loops."""
    try:
        entries = list(os.scandir(root / below))
    except OSError as error:
        raise UserError(
            f"{printable(root / below)}: expected a folder that can be read, got: {error.strerror}"
        ) from None
    for entry in entries:
        if entry.name.startswith(".") or entry.name.lower() in SYSTEM:
            continue
        name = f"{below}{entry.name}"
        require_utf8(root, name)
        kind, identity = _classify(entry)
        if kind == "folder" and identity not in parents:
            _walk(root, f"{name}/", (*parents, identity), files, dangling)
        else:
            (files if kind == "file" else dangling).append(name)


def _classify(entry: os.DirEntry[str]) -> tuple[str, object]:
    """What an entry, or the target of a link, is: folder (and which one), file, or "" for something else."""
    try:
        if entry.is_dir():
            return "folder", _identity(entry.stat())
        return "file" if entry.is_file() else "", None
    except OSError:  # a link to itself
        return "", None


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def require_utf8(root: Path, name: str) -> None:
    """Refuse a name that is not UTF-8.

    Raises:
        UserError: shows the bytes of the name.
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        raise UserError(
            f"{printable(root)}: the file name {os.fsencode(name)!r} is not UTF-8; rename it (a whole folder: "
            "convmv -f latin1 -t utf8 -r --notest FOLDER)"
        ) from None


def printable(path: Path | str) -> str:
    """A path as text that every terminal takes: bytes that are not UTF-8 become escapes."""
    return str(path).encode(errors="surrogateescape").decode(errors="backslashreplace")


def list_files(folder: Path, *suffixes: str) -> list[Path]:
    """Files below a folder whose names end with one of the suffixes, upper or lower case.

    Raises:
        UserError: a name is not UTF-8.
    """
    return filter_suffixes(scan_folder(folder).files, *suffixes)


def filter_suffixes(paths: list[Path], *suffixes: str) -> list[Path]:
    """The paths whose names end with one of the suffixes, upper or lower case."""
    return [path for path in paths if path.name.lower().endswith(suffixes)]


def require_suffixes(inbox: Path, *suffixes: str) -> None:
    """Refuse an inbox with files of another kind: a file that is silently ignored is taken for used.

    Raises:
        UserError: names the first such file and the kinds that are expected.
    """
    listing = scan_folder(inbox)
    for path in listing.files:
        if not path.name.lower().endswith(suffixes) and path.stem.upper() != "README":
            raise UserError(
                f"{path}: expected a kind of file that this data set takes ({', '.join(suffixes)}), got another"
            )
    for path in listing.dangling:
        raise UserError(
            f"{path}: expected a regular file, got a link to nothing or to its own folder, or a device; remove it"
        )
