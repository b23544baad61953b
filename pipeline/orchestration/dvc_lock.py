"""dvc.lock: finding the units that are out of date by it, and sorting its stages.

DVC writes a stage where it finds room, so that the order of runs would show in it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from genfoundry import files, paths
from genfoundry.config import yaml_file
from pipeline.orchestration import inbox
from pipeline.orchestration.unit import Unit

BLOCK = re.compile(r"(?m)^(?=  \S)")  # a stage's lines begin with its name, two spaces in
NAME = re.compile(r"  (?:'([^'\n]+)'|\"([^\"\n]+)\"|([^\s'\"][^\n]*)):\n")  # YAML quotes what is no plain string
Lock = Mapping[str, Mapping[str, Any]]


def find_stale(root: Path, units: Mapping[str, Unit]) -> list[str]:
    """Return the units whose plan, or whose data set's inbox, is not what dvc.lock has, and all that never ran.

    All else that a unit reads is written by other units: it is new if they ran anew. What always runs is left out.
    """
    lock = read(root)
    return [key for key, unit in units.items() if unit.outputs and _is_stale(root, unit, lock.get(key))]


def read(root: Path) -> Lock:
    """Read the stages of dvc.lock by name; none where there is no such file."""
    path = root / "dvc.lock"
    content = yaml_file.parse_generated(path.read_text(encoding="utf-8")) if path.exists() else {}
    return dict((content or {}).get("stages") or {})


def _is_stale(root: Path, unit: Unit, recorded: Mapping[str, Any] | None) -> bool:
    if recorded is None:
        return True
    before = {dep["path"]: dep.get("md5") for dep in recorded.get("deps", ())}
    return any(before.get(path) != md5 for path, md5 in _hash_inputs(root, unit))


def _hash_inputs(root: Path, unit: Unit) -> Iterator[tuple[str, str | None]]:
    """Yield (path, md5) of the inputs that no stage writes: the plan's file, and the inbox by its .dvc file."""
    path = unit.path.as_posix()
    yield path, hashlib.md5((root / path).read_bytes(), usedforsecurity=False).hexdigest()
    # Only an inbox is filled by people; whatever else a unit reads is the output of another one.
    if unit.stage == "prepare":
        yield paths.inbox(unit.name).as_posix(), inbox.read_tracked(root, unit.name).get("md5")


def sort_stages(root: Path, names: Iterable[str]) -> None:
    """Put the stages of dvc.lock into the order of `names`, others behind them; every block of lines stays as it is.

    A file that is not as DVC writes it (merge markers, comments) is left alone.
    """
    path = root / "dvc.lock"
    # Cut as text: YAML that is parsed and dumped again could differ from DVC's in every line.
    head, *blocks = BLOCK.split(path.read_text(encoding="utf-8")) if path.exists() else [""]
    matches = [NAME.match(block) for block in blocks]
    if not head.endswith("stages:\n") or None in matches:
        return
    keys = [next(filter(None, match.groups())) for match in matches if match]
    rank = {name: number for number, name in enumerate(names)}
    order = sorted(range(len(keys)), key=lambda number: rank.get(keys[number], len(rank)))
    if order != sorted(order):
        files.write_bytes(path, (head + "".join(blocks[number] for number in order)).encode())
