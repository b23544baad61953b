"""Folders of the repository that the pipeline writes, replaces and removes. User data must not lie in them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from genfoundry.errors import UserError

# Every out of dvc.yaml, and where state, environments, caches and MLflow's files are kept.
OUTS = ("data/raw", "data/prepared", "data/inbox", "models", "reports")
FOLDERS = (*OUTS, "mlartifacts", "mlruns", "build", "remote", ".dvc", ".git", ".state", ".venv")


def check_source_path(path: str | Path, root: Path, key: str) -> None:
    """Refuse a data source inside a folder that the pipeline writes, or around one.

    Raises:
        UserError: names `key`, the path, the folder, and where data may be.
    """
    source = Path(os.path.realpath(root / Path(path).expanduser()))
    for folder in FOLDERS:
        reserved = Path(os.path.realpath(root)) / folder
        # The folder may be a link to another disk: neither it nor what it leads to is a place for sources.
        target = Path(os.path.realpath(reserved))
        if any(source == path or path in source.parents for path in (reserved, target)):
            raise UserError(
                f"{key}: {path} is in {folder}/, where the pipeline writes and removes files; "
                f"expected a path elsewhere: move the data, then give the new path"
            )
        if source in reserved.parents:
            raise UserError(
                f"{key}: {path} holds {folder}/, where the pipeline writes; expected a folder with nothing but the data"
            )


def find_misplaced(sources: Mapping[str, Any], root: Path) -> Iterator[str]:
    """Yield a line for every `raw` of a data set, as params.yaml has it, whose path `check_source_path` refuses."""
    for name, raw in sources.items():
        for key, path in _list_paths(raw):
            try:
                check_source_path(path, root, f"datasets.{name}.raw.{key}")
            except UserError as error:
                yield str(error)


def _list_paths(raw: Any) -> Iterator[tuple[str, str]]:
    """Yield (key, path) of every local path in a `raw` setting; other forms of it are skipped."""
    if not isinstance(raw, Mapping):
        return
    if isinstance(path := raw.get("path"), str):
        yield "path", path
    files = raw.get("files")
    for file in files if isinstance(files, list | tuple) else ():
        places = file.get("places") if isinstance(file, Mapping) else None
        for place in places if isinstance(places, list | tuple) else ():
            if isinstance(place, str) and place.startswith("file:"):
                yield "files", place.removeprefix("file:").removeprefix("//")
