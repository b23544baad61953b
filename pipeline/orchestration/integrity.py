"""Guard against edits during a run: what a unit reads is the same after it as before, or the stage fails.

DVC hashes a stage's dependencies only when its command is over (iterative/dvc#11058): an edit during the run would be
recorded as what the outs were made from. A stage that fails is not recorded at all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from genfoundry import paths as paths_module
from genfoundry.errors import UserError
from genfoundry.files import sha256, to_canonical_json
from pipeline.orchestration.code_digest import Code
from pipeline.orchestration.unit import Unit

SKIP = {"__pycache__", ".gitignore"}  # Python and DVC write these beside inputs meanwhile


@contextmanager
def guard(unit: Unit, root: Path) -> Iterator[str]:
    """Fail if a unit's code or inputs change while the block runs; yield the digest of both.

    Raises:
        UserError: its code is not what the plan was made from, or code or an input changed meanwhile.
    """
    # The plan has a digest of the code alone: inputs may be made after it, so they are compared with themselves.
    code, before = hash_code(unit, root), hash_inputs(unit, root)
    if code != unit.code:
        raise UserError(f"{unit.path}: the sources of {unit.key} changed since the plan; run it again")
    yield combine(before)
    if hash_code(unit, root) != code:
        raise UserError(f"the sources of {unit.key} changed while it ran; nothing is recorded, run it again")
    after = hash_inputs(unit, root)
    if changed := sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key)):
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise UserError(f"{changed[0]}{more} changed while {unit.key} ran; nothing is recorded, run it again")


def hash_code(unit: Unit, root: Path) -> str:
    """Hash a unit's code as it is on disk now."""
    # A new object each time: `Code` remembers a file as it was first read.
    return Code(root).digest(*([Path(path) for path in paths] for paths in (unit.starts, unit.leave_out)))


def hash_inputs(unit: Unit, root: Path) -> dict[str, str]:
    """Return the sha256 of every file that a unit reads, the plan's own among them, by its path."""
    paths = [path for name in (str(unit.path), *unit.inputs) for path in list_files(root / name)]
    return {path.relative_to(root).as_posix(): sha256(path) for path in paths}


def combine(digests: Mapping[str, str]) -> str:
    """Hash all that a unit depends on into one digest."""
    return hashlib.sha256(to_canonical_json(digests).encode()).hexdigest()


def list_files(path: Path) -> Iterator[Path]:
    """Yield the files of a folder, or the file itself; nothing where there is none."""
    if path.is_dir():
        for child in sorted(path.iterdir()):
            if child.name not in SKIP:
                yield from list_files(child)
    elif path.exists():
        yield path


def state_folder(unit: Unit, digest: str, root: Path) -> Path:
    """Return the folder for a unit's in-flight state: the same after a kill, and never that of other inputs."""
    return root / paths_module.STATE / f"{unit.key.replace('@', '-')}-{digest[:16]}"
