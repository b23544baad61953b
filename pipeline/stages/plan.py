"""Compile params.yaml into build/plan/, a file for each unit of work: the only reader of params.yaml among the stages.

It always runs, and looks at sources and inboxes each time. A file is written only where its bytes change, and what
params.yaml no longer names is removed, with its outs: rankings read whole folders.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from genfoundry import paths
from genfoundry.console import shell
from genfoundry.errors import UserError
from pipeline.orchestration import memo

if TYPE_CHECKING:
    from pipeline.orchestration.unit import Unit

HERE = Path()
logger = logging.getLogger(__name__)
REPORTED = "GENFOUNDRY_SOURCES"  # set where the run that this belongs to has reported what sources are like


def run() -> None:
    """Compile the plan, unless everything that it was made from is as it was, and log what it has to report."""
    shell.check_repository(HERE)  # a champion of an unknown commit could not be measured again
    messages = memo.recall(HERE)
    for message in compile_plan() if messages is None else messages:
        if REPORTED not in os.environ:
            logger.warning("%s", message)


def compile_plan() -> list[str]:
    """Write the plan; return messages about sources and libraries.

    Raises:
        UserError: params.yaml is wrong, a line a fault; a source cannot be read, or an inbox lost files.
    """
    from genfoundry import files
    from pipeline.orchestration import compiler, libraries, resolve, sources  # with the models, which import torch

    before = memo.take_stamps(HERE, memo.SOURCES)
    params = resolve.load_params(HERE / paths.PARAMS)
    before |= memo.take_stamps(HERE, sources.list_paths(params))
    if faults := list(resolve.find_faults(params)):
        raise UserError("\n".join(faults))
    statuses = sources.check_all(HERE, params)
    units = compiler.compile_units(HERE, params, {status.name: status.digest for status in statuses})
    # Before the index is replaced: it names what the earlier plan had.
    remove_obsolete(HERE, units)
    write(HERE, units)
    files.write_json(HERE / paths.LIMITS, params.max_minutes)
    messages = [status.message for status in statuses if status.message] + libraries.mismatches(HERE)
    memo.note(HERE, messages, before)
    return messages


def write(root: Path, units: Collection[Unit]) -> None:
    """Write the plan's files; one whose bytes are the same is left as it is, one that an earlier plan wrote goes."""
    from genfoundry import files

    contents = {unit.path: unit.dump() for unit in units}
    for path in _read_index(root).values():
        if path not in contents:
            (root / path).unlink(missing_ok=True)
    index = [(unit.key, unit.path.as_posix()) for unit in units]
    contents[paths.PLAN_INDEX] = files.to_canonical_json(index).encode()
    for path, content in contents.items():
        if not (root / path).is_file() or (root / path).read_bytes() != content:
            files.write_bytes(root / path, content)


def remove_obsolete(root: Path, units: Collection[Unit]) -> None:
    """Remove the outputs of entries that params.yaml no longer has, as the earlier plan or dvc.lock names them.

    What a person put beside them stays.
    """
    from genfoundry import files
    from pipeline.orchestration import dvc_lock
    from pipeline.orchestration.unit import Unit

    keys, stages = {unit.key for unit in units}, {unit.stage for unit in units}
    lock, earlier = dvc_lock.read(root), _read_index(root)
    outputs = {out for unit in units for out in unit.outputs}
    obsolete = set[str]()
    for key in {*lock, *earlier} - keys:
        if key.partition("@")[0] in stages:  # else a stage that a person added to dvc.yaml
            obsolete |= {out["path"] for out in lock.get(key, {}).get("outs", ())}
            with suppress(UserError, KeyError):
                obsolete |= {*Unit.read(root / earlier[key]).outputs}
    for path in map(Path, obsolete - outputs):
        if any(path.match(pattern) for pattern in paths.UNIT_OUTPUTS):
            files.remove_tree(root / path)
            files.remove_tree(root / path.with_suffix(""))  # a verdict's page stands beside it


def _read_index(root: Path) -> Mapping[str, Path]:
    """Read the plan on disk, DVC's name of a unit -> its file; none where there is no plan, or a damaged one."""
    from genfoundry import files

    try:
        return {key: Path(path) for key, path in files.read_json(root / paths.PLAN_INDEX)}
    except (UserError, ValueError, TypeError):
        return {}
