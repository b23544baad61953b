"""Units that the chosen budget skips: their stages write outputs without content, so that DVC has all that it expects.

What an earlier budget left there goes: rankings and tables read whole folders. Champions stay, as the ledger has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from genfoundry import files
from pipeline.orchestration.unit import Unit

EMPTY = {".csv": b"phase,step,skipped\n", ".json": b"{}\n"}  # curves and metrics, as DVC reads them; else a folder


def skip(unit: Unit, reason: str, dataset: str) -> Unit:
    """Return the unit of a skipped entry: it reads and writes the same paths, and runs no code of its stage."""
    return replace(unit, starts=(), leave_out=(), code="", settings={"skipped": reason, "dataset": dataset})


def is_skipped(unit: Unit) -> bool:
    """Return whether the chosen budget skips a unit."""
    return "skipped" in unit.settings


def select_running(units: Mapping[str, Unit], stage: str) -> list[str]:
    """Return the names of a stage's units that are not skipped."""
    return [unit.name for unit in units.values() if unit.stage == stage and not is_skipped(unit)]


def write_empty_outputs(unit: Unit, root: Path) -> None:
    """Write the outputs of a skipped unit."""
    for path in (root / output for output in unit.outputs):
        if path.suffix in EMPTY:
            files.write_bytes(path, EMPTY[path.suffix])
        else:
            with files.replace_dir(path) as folder:  # not empty, or DVC would warn
                files.write_bytes(folder / "skipped.txt", f"{unit.key}: {unit.settings['skipped']}\n".encode())
