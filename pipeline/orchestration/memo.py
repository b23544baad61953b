"""Whether the plan on disk is still that of everything that it was made from, told by sizes and times in some 50 ms.

The stage `plan` always runs, so that plain `dvc repro` notices each edit; compiling takes seconds, since models are
imported. Nothing rests on this: a stage compares contents with its plan file before it begins.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

FILE = Path(".state/plan.json")
SOURCES = ("params.yaml", "requirements.lock", "src/genfoundry", "pipeline", "data/inbox", "data/sources.json")
INSTALLED = tuple(path for path in sys.path if path.endswith("site-packages"))  # told by the folder's own time
SKIP = ("__pycache__", ".gitignore", "dvc.lock")
MADE_FROM = (*SOURCES, "build/plan", *INSTALLED)


def recall(root: Path) -> list[str] | None:
    """What was said of the sources when the plan was made; None where it has to be made anew."""
    try:
        content: dict[str, Any] = json.loads((root / FILE).read_text(encoding="utf-8"))
        same = content["stamp"] == stamp(root, content["sources"])
        return list(map(str, content["messages"])) if same else None
    except (OSError, ValueError, LookupError, TypeError):  # none yet, or damaged
        return None


def note(root: Path, messages: Sequence[str], sources: Sequence[str]) -> None:
    """Remember what the plan was made from, after it was written; `sources` are paths of the user's own."""
    content = {"stamp": stamp(root, sources), "sources": list(sources), "messages": list(messages)}
    (root / FILE).parent.mkdir(exist_ok=True)
    (root / FILE).write_text(json.dumps(content), encoding="utf-8")


def stamp(root: Path, sources: Iterable[str]) -> str:
    """A digest of the paths, sizes and modification times of all files that the plan is made from."""
    total = hashlib.sha256()
    for name in (*MADE_FROM, *sources):
        for line in _stamps(root / Path(name).expanduser(), deep=name not in INSTALLED):
            total.update(f"{line}\0".encode(errors="surrogateescape"))
    return total.hexdigest()


def _stamps(path: Path, deep: bool) -> Iterator[str]:
    try:
        status = path.stat()
    except OSError as error:
        yield f"{path} {error.errno}"
        return
    if not path.is_dir():
        yield f"{path} {status.st_size} {status.st_mtime_ns}"
    elif not deep:
        yield f"{path} {status.st_mtime_ns}"
    else:
        with os.scandir(path) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.name not in SKIP:
                    yield from _stamps(Path(entry.path), deep)
