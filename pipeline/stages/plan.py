"""Compile params.yaml into build/plan/, a file for each unit of work: the only reader of params.yaml among the stages.

It always runs, and looks at sources and inboxes each time. A file is written only where its bytes change, and what
params.yaml no longer names is removed, with its outs: rankings read whole folders.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from genfoundry.console import shell
from genfoundry.errors import UserError
from pipeline.orchestration import memo

if TYPE_CHECKING:
    from pipeline.orchestration.unit import Unit

HERE = Path()
logger = logging.getLogger(__name__)
REPORTED = "GENFOUNDRY_SOURCES"  # set where the run that this belongs to has reported what sources are like


def run() -> None:
    shell.check_repository(HERE)  # a champion of an unknown commit could not be measured again
    messages = memo.recall(HERE)
    for message in compile_plan() if messages is None else messages:
        if REPORTED not in os.environ:
            logger.warning("%s", message)


def compile_plan() -> list[str]:
    """Write the plan; what has to be said of sources and libraries.

    Raises:
        UserError: params.yaml is wrong, a line a fault; a source cannot be read, or an inbox lost files.
    """
    from genfoundry import files as files_module
    from genfoundry import paths
    from pipeline.orchestration import (
        compiler,
        libraries,
        resolve,  # with the models, which import torch
        sources,
    )

    before = memo.take_stamps(HERE, memo.SOURCES)
    params = resolve.settings(HERE / paths.PARAMS)
    before |= memo.take_stamps(HERE, sources.paths(params))
    if faults := list(resolve.faults(params)):
        raise UserError("\n".join(faults))
    statuses = sources.check_all(HERE, params)
    units = compiler.compile_units(HERE, params, {status.name: status.digest for status in statuses})
    write(HERE, units)
    files_module.write_json(HERE / paths.LIMITS, params.max_minutes)
    remove_outs(HERE, units)
    messages = [status.message for status in statuses if status.message] + libraries.mismatches(HERE)
    memo.note(HERE, messages, before)
    return messages


def write(root: Path, units: Collection[Unit]) -> None:
    """The plan's files: those of before whose bytes are the same are left as they are."""
    from genfoundry import files as files_module
    from genfoundry import paths

    files = {unit.path: unit.dump() for unit in units}
    index = [(unit.key, unit.path.as_posix()) for unit in units]
    files[paths.PLAN_INDEX] = files_module.canonical(index).encode()
    for path, content in files.items():
        if not (root / path).is_file() or (root / path).read_bytes() != content:
            files_module.write_bytes(root / path, content)
    for path in (root / paths.PLAN).rglob("*"):
        if path.is_file() and path.relative_to(root) not in files:
            path.unlink()


def remove_outs(root: Path, units: Collection[Unit]) -> None:
    """Remove what stages wrote for entries that params.yaml no longer has."""
    from genfoundry import paths

    planned = {Path(out) for unit in units for out in unit.outputs}
    planned |= {out.with_suffix("") for out in planned}  # a verdict's page stands beside it
    for path in (path for pattern in paths.UNIT_OUTPUTS for path in root.glob(pattern)):
        if path.relative_to(root) not in planned and not path.name.startswith("."):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
