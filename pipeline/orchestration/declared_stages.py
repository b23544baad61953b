"""Stages that the compiler has no method for: dvc.yaml alone declares what their units read and write."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genfoundry.config import yaml_file
from genfoundry.errors import UserError

SECTIONS = ("datasets", "judges", "tasks", "experiments")
PATHS = ("deps", "outs", "metrics", "plots")


@dataclass(frozen=True)
class Stage:
    """A stage of dvc.yaml. `section` is the part of params.yaml that it has a unit for each entry of, or ""."""

    name: str
    section: str
    body: Mapping[str, Any]

    def paths(self, key: str, entry: Mapping[str, Any]) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
        """Inputs, the plan's file not among them, and outputs of the unit of one entry."""
        deps, *outs = ([_fill(path, key, entry) for path in self._declared(kind)] for kind in PATHS)
        inputs = (path for path in deps if not path.startswith(f"build/plan/{self.name}"))
        return tuple(map(Path, inputs)), tuple(Path(path) for kind in outs for path in kind)

    def _declared(self, kind: str) -> list[str]:
        # A path with options is a mapping of one key there: `- reports/x.json: {cache: false}`.
        return [next(iter(path)) if isinstance(path, dict) else path for path in self.body.get(kind, [])]


def read_stages(root: Path, compiled: Collection[str]) -> Iterator[Stage]:
    """The stages of dvc.yaml, in its order, that are not among the `compiled` ones.

    Raises:
        UserError: a stage is for each entry of something that params.yaml does not have.
    """
    path = root / "dvc.yaml"
    for name, body in (yaml_file.read_yaml(path)["stages"] if path.exists() else {}).items():
        if name in compiled:
            continue
        section = str(body.get("foreach", "")).strip("${}")
        if section and section not in SECTIONS:
            raise UserError(f"dvc.yaml: stages.{name}.foreach: expected one of {', '.join(SECTIONS)}, got {section!r}")
        # DVC's `foreach` has the stage itself below `do`.
        yield Stage(name, section, body["do"] if section else body)


def _fill(template: str, key: str, entry: Mapping[str, Any]) -> str:
    """A path with DVC's `${key}` and `${item.x}` filled in."""
    return re.sub(r"\$\{(?:key|item\.(\w+))\}", lambda match: str(entry[match[1]]) if match[1] else key, template)
