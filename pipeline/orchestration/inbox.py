"""A data set's inbox, a folder that DVC tracks: check, restore and withdraw its files.

Files that were withdrawn stand in data/inbox/<name>.withdrawn.jsonl, in git: {"file", "md5", "time", "who"} a line.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from genfoundry import files as files_module
from genfoundry import paths
from genfoundry.config import yaml_file
from genfoundry.console import shell
from genfoundry.data.readers.listing import scan_folder
from genfoundry.errors import UserError
from genfoundry.selection import dvc_store, ledger

Tracked = dict[str, str]  # path within the inbox -> md5


def withdrawn_path(name: str) -> Path:
    """Return where an inbox's withdrawn files are listed."""
    return paths.inbox(name).with_suffix(".withdrawn.jsonl")


def list_files(root: Path, name: str) -> list[str]:
    """List the files in an inbox as it stands, by their path within it; hidden ones are left out, as by its readers.

    Raises:
        UserError: a name is not UTF-8, which DVC could not take.
    """
    folder = root / paths.inbox(name)
    return [path.relative_to(folder).as_posix() for path in scan_folder(folder).files]


def read_tracked(root: Path, name: str) -> dict[str, Any]:
    """Read what data/inbox/<name>.dvc has of the folder: `md5`, `nfiles`; empty where DVC does not track it yet."""
    path = root / paths.inbox(name).with_suffix(".dvc")
    return dict(yaml_file.parse_generated(path.read_text(encoding="utf-8"))["outs"][0]) if path.exists() else {}


def read_manifest(root: Path, md5: str) -> Tracked | None:
    """List the files of a folder that DVC knows by `md5` (it ends in .dir); None where its cache lacks that list."""
    return dvc_store.list_folder(root, md5)


def restore(root: Path, name: str) -> str:
    """Bring tracked files that are missing back beside new ones; return a message, "" where none was missing.

    Raises:
        UserError: neither DVC's cache nor its remote has a file.
    """
    missing = find_missing(root, name)
    if not missing:
        return ""
    if lost := _copy_from_cache(root, name, missing):
        tracked = paths.inbox(name).with_suffix(".dvc")
        shell.ask("dvc", "fetch", tracked, root=root)
        _fetch_committed(root, name)
        # Asked again: once DVC has fetched the folder's list, names are known of which before there was only a number.
        missing = find_missing(root, name) | {file: md5 for file, md5 in missing.items() if md5 and file not in lost}
        if lost := _copy_from_cache(root, name, missing):
            raise UserError(f"{tracked}: neither DVC's cache nor its remote has {lost[0]}")
    return (
        f"{paths.inbox(name)}: brought back {len(missing)} files that DVC tracks and that were missing here "
        f"(e.g. {next(iter(missing))}); `make withdraw DATASET={name} FILES=...` takes files out for good"
    )


def _copy_from_cache(root: Path, name: str, files: Mapping[str, str | None]) -> list[str]:
    """Copy files by their md5 from DVC's cache into an inbox; returns those that it lacks."""
    folder = (root / paths.inbox(name)).absolute()
    # Copied by us: `dvc checkout` would put the folder as tracked, and new files in it at risk.
    wanted = {folder / file: md5 for file, md5 in files.items() if md5}
    lost = {path.relative_to(folder).as_posix() for path in dvc_store.fetch_files(root, wanted, remotes=False)}
    return [file for file, md5 in files.items() if md5 is None or file in lost]


def _fetch_committed(root: Path, name: str) -> None:
    """Fetch what the commit's .dvc file names, where `dvc repro` wrote the inbox as it stands into it: an empty one."""
    tracked, committed = paths.inbox(name).with_suffix(".dvc"), _read_committed(root, name)
    if committed.get("nfiles") and committed != read_tracked(root, name):
        shell.ask("git", "checkout", "-q", "HEAD", "--", tracked, root=root)
        shell.ask("dvc", "fetch", tracked, root=root)


def find_missing(root: Path, name: str) -> dict[str, str | None]:
    """Find files that the inbox had (by its .dvc file, the committed one, the last preparation) and lacks, with md5.

    A file that was renamed or withdrawn is not missing. Where DVC's cache lacks the list of files, and there are fewer
    than there were, "N of M" stands for them, without md5.
    """
    folder, files, withdrawn = root / paths.inbox(name), set(list_files(root, name)), read_withdrawn(root, name)
    number = sum(path.is_file() for path in folder.rglob("*"))  # DVC counts hidden ones, too
    missing: dict[str, str | None] = {}
    prepared = _read_prepared(root, name)
    # Three records, since DVC overwrites the first by whatever is in the folder when it runs.
    for record in (read_tracked(root, name), _read_committed(root, name), prepared):
        count = record.get("nfiles") or 0
        manifest = read_manifest(root, record["md5"]) if count else {}
        since = len(withdrawn) if record is prepared else 0  # withdrawing takes a file out of the .dvc file at once
        if manifest is None and number + since < count:
            missing[f"{count - number} of {count} files"] = None
        expected = {file: md5 for file, md5 in (manifest or {}).items() if md5 not in withdrawn}
        missing.update({file: md5 for file, md5 in expected.items() if not (folder / file).is_file()})
    # A renamed file has its content here. Hashing an inbox is slow, and needed only where something is missing.
    contents = {dvc_store.hash_md5(folder / file) for file in files} if missing else set()
    return {file: md5 for file, md5 in missing.items() if md5 not in contents}


def check_names(root: Path, name: str) -> None:
    """Refuse a file of the inbox that has a tracked one's name, but other content: which one is meant is unknown.

    Raises:
        UserError: names the file.
    """
    tracked = read_tracked(root, name)
    manifest = (read_manifest(root, tracked["md5"]) or {}) if tracked.get("nfiles") else {}
    for file, md5 in manifest.items():
        path = root / paths.inbox(name) / file
        if path.exists() and dvc_store.hash_md5(path) != md5:
            raise UserError(f"{path}: an earlier batch has this name and other content; rename the new file")


def check_complete(root: Path, name: str) -> None:
    """Refuse an inbox that lost files, or holds withdrawn ones.

    Raises:
        UserError: says how many, the first one, and both ways out.
    """
    withdrawn = read_withdrawn(root, name)
    folder = root / paths.inbox(name)
    present = {file: dvc_store.hash_md5(folder / file) for file in list_files(root, name)} if withdrawn else {}
    for file, md5 in present.items():
        if md5 in withdrawn:
            raise UserError(
                f"{paths.inbox(name) / file}: was withdrawn on {withdrawn[md5]['time']}; remove the file, "
                f"or its line in {withdrawn_path(name)}"
            )
    if missing := find_missing(root, name):
        tracked, first = paths.inbox(name).with_suffix(".dvc"), next(iter(missing))
        raise UserError(
            f"{paths.inbox(name)}: files that DVC tracks are missing: {first}"
            + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
            + f"; `make repro`, or `git checkout {tracked} && dvc pull {tracked}`, brings them back, "
            f"`make withdraw DATASET={name} FILES=...` withdraws them"
        )


def _read_committed(root: Path, name: str) -> dict[str, Any]:
    """Read what the commit has of the folder: `dvc repro` writes an inbox as it stands into the .dvc file."""
    tracked = paths.inbox(name).with_suffix(".dvc")
    text = shell.ask("git", "show", f"HEAD:./{tracked}", root=root, check=False)
    return dict(yaml_file.parse_generated(text)["outs"][0]) if text else {}


def _read_prepared(root: Path, name: str) -> dict[str, Any]:
    """Read what dvc.lock has of the inbox that the data set was last prepared from."""
    path = root / "dvc.lock"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    block = re.search(rf"(?m)^  prepare@{re.escape(name)}:\n(?:   .*\n)*", text)  # parsing all of it takes seconds
    stage = next(iter(yaml_file.parse_generated(block.group()).values())) if block else {}
    deps = {dep["path"]: dep for dep in stage.get("deps", [])}
    return dict(deps.get(paths.inbox(name).as_posix(), {}))


def read_withdrawn(root: Path, name: str) -> dict[str, dict[str, str]]:
    """Read the lines of the files that were withdrawn from an inbox, by md5."""
    path = root / withdrawn_path(name)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    try:
        entries = [json.loads(line) for line in lines if line.strip()]
        return {entry["md5"]: entry for entry in entries}
    except (ValueError, TypeError, KeyError):
        raise UserError(
            f'{path}: expected a line {{"file": ..., "md5": ..., "time": ..., "who": ...}} a file'
        ) from None


def withdraw(root: Path, name: str, files: Sequence[str]) -> list[str]:
    """Remove files from an inbox for good: from the folder, from what DVC tracks, and against their coming back.

    Returns their paths within the inbox.

    Raises:
        UserError: a file is none of the inbox's.
    """
    restore(root, name)
    folder, present = root / paths.inbox(name), list_files(root, name)
    chosen = [_within(root, name, file) for file in files]
    if (spaced := _within(root, name, " ".join(files))) in present:  # make hands over words: one name with spaces
        chosen = [spaced]
    if unknown := [file for file in chosen if file not in present]:
        shown = ", ".join(present[:8]) + (" ..." if len(present) > 8 else "")
        raise UserError(f"{paths.inbox(name)}: no file {unknown[0]!r}; it has {shown or 'none'}")
    now, who = datetime.now(UTC).isoformat(timespec="seconds"), ledger.get_user_name(root)
    lines = [{"file": file, "md5": dvc_store.hash_md5(folder / file), "time": now, "who": who} for file in chosen]
    path = root / withdrawn_path(name)
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    text = "".join(json.dumps(line, sort_keys=True, ensure_ascii=False) + "\n" for line in lines)
    # Listed before they are removed: after a kill in between, `check_complete` names those that are still there.
    files_module.write_bytes(path, (before + text).encode())
    for file in chosen:
        (folder / file).unlink()
    shell.ask("dvc", "add", paths.inbox(name), root=root)
    return chosen


def _within(root: Path, name: str, file: str) -> str:
    """Return a file's path within the inbox, given so, from the repository's root, or absolute."""
    folder = root / paths.inbox(name)
    for path in (folder / file, root / file):
        if path.is_file() and path.resolve().is_relative_to(folder.resolve()):
            return path.resolve().relative_to(folder.resolve()).as_posix()
    return os.path.normpath(file)
