"""A unit of work: one stage of one data set, task or experiment, as the stage `plan` compiled it from params.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genfoundry import paths as paths_module
from genfoundry.errors import UserError
from genfoundry.files import read_json, to_canonical_json

PATHS = ("inputs", "outputs", "starts", "leave_out")
KEYS = ("stage", "name", *PATHS, "code", "settings")


@dataclass(frozen=True)
class Unit:
    """The inputs, outputs, code and settings of one run of a stage.

    `inputs` and `outputs` are paths from the repository's root, the plan's file not among the inputs; `code` is the
    digest of the science code that the unit runs, all that the files `starts` import but for `leave_out`; `settings`
    are JSON values, every default filled in.
    """

    stage: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    starts: tuple[str, ...]
    leave_out: tuple[str, ...]
    code: str
    settings: Mapping[str, Any]

    @property
    def key(self) -> str:
        """DVC's name of the unit: `train@vae-fashion`, or `rank` for a stage with a single unit."""
        return f"{self.stage}@{self.name}" if self.name else self.stage

    @property
    def path(self) -> Path:
        """The plan's file, from the repository's root."""
        return paths_module.plan(self.stage, self.name)

    def dump(self) -> bytes:
        """Return canonical JSON: equal units have equal bytes."""
        return to_canonical_json({key: getattr(self, key) for key in KEYS}).encode()

    @classmethod
    def read(cls, path: Path | str) -> Unit:
        """Read the unit of a plan's file.

        Raises:
            UserError: no such file, or no unit's.
        """
        if not Path(path).is_file():
            raise UserError(f"{path}: not there; expected a file of the plan, which `dvc repro` writes first")
        content = read_json(Path(path))
        # A plan of another version of this project has other keys.
        complete = isinstance(content, dict) and sorted(content) == sorted(KEYS)
        if not complete or not all(isinstance(content[key], list) for key in PATHS):
            raise UserError(f"{path}: expected a unit of the plan with the keys {', '.join(KEYS)}; run dvc repro")
        # JSON knows no tuples, and a unit that was read equals the one that was compiled.
        paths = {key: tuple(content[key]) for key in PATHS}
        return cls(**{**content, **paths})


def read_all(root: Path) -> dict[str, Unit]:
    """Read every unit by DVC's name, in the order of dvc.yaml, which the plan's index keeps.

    Raises:
        UserError: there is no plan yet.
    """
    index = root / paths_module.PLAN_INDEX
    if not index.is_file():
        raise UserError(f"{index}: not there; `dvc repro` writes the plan first")
    return {key: Unit.read(root / path) for key, path in read_json(index)}
