"""Columns, time steps and gaps of a series."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from genfoundry.data import table
from genfoundry.look.seen import Seen
from genfoundry.types import UserError


def look(folder: Path, paths: list[Path]) -> Seen:
    """Gaps are filled where most rows lie on a grid; window and context follow from the number of rows.

    Raises:
        UserError: a cell is no number, or times do not grow.
    """
    one = table.read(paths[0])
    months = None if one.clock != "days" else _months(paths[0], one)
    one, times = months or one, (months or one).rows[:, 0]
    steps = np.diff(times)
    if len(steps) and steps.min() <= 0:
        line = one.lines[np.argmin(steps > 0) + 1]
        raise UserError(f"{paths[0]}:{line}: column {one.head[0]}: times must grow, each once; sort the rows")
    holes = int(np.isnan(one.rows[:, 1:]).sum())
    entry: dict[str, Any] = {"split": {"val": 0.15, "gate": 0.15, "test": 0.2}}
    size = len(one.rows)
    said = [f"a series of {size} rows and {len(one.names)} columns of values: {', '.join(one.names)}"]
    least = float(steps.min()) if len(steps) else 1.0
    absent = round((times[-1] - times[0]) / least) + 1 - size
    regular = bool(np.allclose(steps / least, np.rint(steps / least), atol=1e-6))
    if regular and 0 < absent <= size / 4:
        entry["step"] = "month" if months else _number(least)
        said.append(f"step: {entry['step']}: {absent} rows that are not there are put in")
    if holes or "step" in entry:
        entry["missing"] = "forward"
        said.append(
            f"missing: forward: {holes} empty cells, and rows put in, get the value before; validation counts them"
        )
    entry |= {"window": max(1, min(24, size // 60)), "context": max(2, min(168, size // 12))}
    said.append(f"window: {entry['window']} steps are forecast from the context: {entry['context']} before them")
    return Seen(entry, said)


def _months(path: Path, days: table.Table) -> table.Table | None:
    """The table with times in months, where its dates are a month apart."""
    steps = np.diff(days.rows[:, 0])
    if not len(steps) or not 28 <= np.median(steps) <= 31:
        return None
    months = table.read(path, "months")
    return months if (np.diff(months.rows[:, 0]) > 0).all() else None


def _number(value: float) -> float | int:
    return int(value) if value == int(value) else float(f"{value:.6g}")
