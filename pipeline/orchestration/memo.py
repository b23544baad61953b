"""A memo of what the plan was made from: whether it is up to date is seen from sizes and times, in some 50 ms.

The stage `plan` always runs, so that plain `dvc repro` notices each edit; compiling takes seconds, since models are
imported. Nothing rests on this: a stage compares contents with its plan file before it begins.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from genfoundry import paths

SOURCES = (
    *map(str, (paths.PARAMS, paths.INBOXES, paths.SOURCES)),
    "dvc.yaml",
    "requirements.lock",
    "src/genfoundry",
    "pipeline",
)
PACKAGES = ("site-packages", "dist-packages")  # seen by the folder's own time
INSTALLED = tuple(path for path in sys.path if path.endswith(PACKAGES))
SKIP = ("__pycache__", ".gitignore", "dvc.lock")  # what runs write themselves
WRITTEN = (str(paths.PLAN), str(paths.LIMITS), *INSTALLED)
Stamps = dict[str, str]  # path -> digest of the sizes and times of its files


def recall(root: Path) -> list[str] | None:
    """Return the messages of the plan's last compilation if the plan is up to date, else None."""
    try:
        content: dict[str, Any] = json.loads((root / paths.PLAN_STAMPS).read_text(encoding="utf-8"))
        stamps, messages = dict(content["stamps"]), list(map(str, content["messages"]))
        # A memo of an older version of this project may lack a path that matters by now.
        complete = stamps.keys() >= {*SOURCES, *WRITTEN}
        return messages if complete and stamps == take_stamps(root, stamps) else None
    except (OSError, ValueError, LookupError, TypeError):  # none yet, or damaged
        return None


def note(root: Path, messages: Sequence[str], before: Stamps) -> None:
    """Remember what the plan was made from, after it was written.

    `before` are the stamps of `SOURCES` and of the user's own paths, taken before they were read: an edit while the
    plan was made has not gone into it.
    """
    # The plan's own files are stamped now, since they have just been written.
    content = {"stamps": before | take_stamps(root, WRITTEN), "messages": list(messages)}
    (root / paths.PLAN_STAMPS).parent.mkdir(exist_ok=True)
    (root / paths.PLAN_STAMPS).write_text(json.dumps(content), encoding="utf-8")


def take_stamps(root: Path, names: Iterable[str]) -> Stamps:
    """Return for each path a digest of the paths, sizes and times of its files."""
    return {name: _digest(_stamps(root / Path(name).expanduser(), deep=name not in INSTALLED)) for name in names}


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(lines).encode(errors="surrogateescape")).hexdigest()


def _stamps(path: Path, deep: bool, above: tuple[tuple[int, int], ...] = ()) -> Iterator[str]:
    """Yield a line for each file; `above` are the folders around it, into which a link may lead back.

    The times are those of the content and of its entry in the file system, which no copying with `cp -p` sets back.
    """
    try:
        status = path.stat()
        folder = deep and stat.S_ISDIR(status.st_mode)
        inside = sorted(os.listdir(path)) if folder else []
    except OSError as error:
        yield f"{path} {error.errno}"
        return
    here = (status.st_dev, status.st_ino)
    if not folder:
        yield f"{path} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"
    elif here not in above:
        for name in inside:
            if name not in SKIP:
                yield from _stamps(path / name, deep, (*above, here))
