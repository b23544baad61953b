"""dvc.lock as a record of the plan's units: which would run anew, whether or not their data are on this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from genfoundry import paths
from genfoundry.config import yaml_file
from pipeline.orchestration import inbox
from pipeline.orchestration.unit import Unit

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
    """Yield md5 of the inputs of which git has the content: the plan's file, and the inbox by its .dvc file."""
    path = unit.path.as_posix()
    yield path, hashlib.md5((root / path).read_bytes(), usedforsecurity=False).hexdigest()
    if unit.stage == "prepare":
        yield paths.inbox(unit.name).as_posix(), inbox.read_tracked(root, unit.name).get("md5")
