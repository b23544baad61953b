"""Series: CSV with a time column and one or several numeric ones, split by time, windows as samples."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from genfoundry import config
from genfoundry.data.preparation import Prepared
from genfoundry.data.readers.listing import list_files, require_suffixes
from genfoundry.data.readers.time_csv import SeriesTable, read_series
from genfoundry.data.splits.series import eval_windows
from genfoundry.data.transforms import seasonality
from genfoundry.data.transforms.missing_values import Filled, fill_missing, put_on_grid, require_complete
from genfoundry.errors import UserError
from genfoundry.splits import SPLITS
from genfoundry.types import Spec

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".csv.gz")
ROUNDING = 1e-4  # of the naive error: what rounding to float64 may add to an error measured in it


def prepare(raw: Path, inbox: Path, dataset: config.Dataset, seed: int) -> Prepared:
    """Cut rows in time into a stretch a split, each with the `context` rows before it.

    The stretches' borders come from the raw file's own span, so that they do not move when rows arrive; rows after its
    end extend the last stretch.
    """
    path = find_file(raw)
    require_suffixes(inbox, *SUFFIXES)
    base = read_series(path, "months" if dataset.step == "month" else None, dataset.columns)
    more = [read_series(added, base.unit, dataset.columns, base) for added in list_files(inbox, *SUFFIXES)]
    for table in (base, *more) if dataset.missing == "error" else ():
        require_complete(table)
    rows = _join(base, more)
    if dataset.step is not None:
        rows = put_on_grid(rows, 1.0 if dataset.step == "month" else dataset.step, path.name)
    span = base.rows[:, 0]
    filled = fill_missing(rows, _assign_split(rows[:, 0], span, dataset.split), dataset.missing, path.name)
    split_of = _assign_split(filled.rows[:, 0], span, dataset.split)
    values = filled.rows[:, 1:]  # (L, D)
    train = values[split_of == "train"]
    _require_variation(train, base)
    season = dataset.season or seasonality.find_season(train, dataset.context)
    scale = seasonality.naive_error(train, season)
    _require_precision(values, scale, base)
    splits, counts = {}, {}
    for split in SPLITS:
        inside = np.flatnonzero(split_of == split)
        past = values[max(0, inside[0] - dataset.context) : inside[0]] if len(inside) else values[:0]
        splits[split] = {"x": values[inside], "past": past, "first": inside[:1]}
        splits[split] |= {"season": np.array([season]), "scale": scale}
        starts, groups = eval_windows(split, len(inside) + len(past) - dataset.context, dataset.window)
        # `preparation` counts the groups of held-out splits, and refuses one alone.
        splits[split] |= {"group": groups} if split != "train" else {}
        counts[split] = len(starts)
    width = len(base.names)
    past_shape = (dataset.context, width + dataset.numbered) if dataset.context else None
    spec = Spec((dataset.window, width), None, cond_shape=past_shape)
    return Prepared(splits, spec, base.names, counts, describe(filled, split_of, raw.name, dataset.missing))


def find_file(raw: Path) -> Path:
    """The only .csv file of a folder.

    Raises:
        UserError: there is none, or several.
    """
    paths = list_files(raw, *SUFFIXES)
    if len(paths) == 1:
        return paths[0]
    names = ", ".join(path.relative_to(raw).as_posix() for path in paths[:3]) + (", ..." if len(paths) > 3 else "")
    many = f" ({names}): give each a data set of its own, or make each a column of one file" if paths else ""
    raise UserError(f"{raw}: expected one .csv file, got {len(paths)}{many}")


def _join(base: SeriesTable, more: list[SeriesTable]) -> np.ndarray:
    """All rows, equal ones once; another value for the same time stays, and the rule on order refuses it."""
    rows = {row.tobytes(): row for row in base.rows}
    for table in more:
        if table.head != base.head:
            raise UserError(f"{table.path}: expected columns {', '.join(base.head)}, got {', '.join(table.head)}")
        rows |= {row.tobytes(): row for row in table.rows if row.tobytes() not in rows}
    return np.array(list(rows.values()))


def _assign_split(times: np.ndarray, span: np.ndarray, shares: config.Shares) -> np.ndarray:
    """The split of each time (L,), by the first and last of the times in `span`."""
    low, length = span[0], span[-1] - span[0]
    split = np.full(len(times), "train", dtype="<U5")
    split[times >= low + length * (1 - (shares.val + shares.gate + shares.test))] = "val"
    split[times >= low + length * (1 - (shares.gate + shares.test))] = "gate"
    split[times >= low + length * (1 - shares.test)] = "test"
    return split


def _require_variation(train: np.ndarray, base: SeriesTable) -> None:
    """Refuse a column without a value, or with one value throughout train."""
    for name, own, column in zip(base.names, base.rows.T[1:], train.T, strict=True):
        names = ", ".join(other for other in base.names if other != name)
        hint = f"columns: [{names}] in the data set's entry leaves it out"
        hint = hint if names else "a series whose values vary is needed"
        if np.isnan(own).all():
            raise UserError(f"{base.path}: column {name}: expected values, got none at all; {hint}")
        column = column[~np.isnan(column)]
        if len(column) and (column == column[0]).all():
            raise UserError(
                f"{base.path}: column {name}: expected values that vary, got {column[0]:.15g} all through train; {hint}"
            )


def _require_precision(values: NDArray[np.float64], scale: NDArray[np.float64], base: SeriesTable) -> None:
    """Refuse (L, D) values that float64 rounds by more than `ROUNDING` of their columns' naive errors `scale` (D,)."""
    for name, column, unit in zip(base.names, values.T, scale, strict=True):
        largest = float(np.nanmax(np.abs(column), initial=0.0))
        if np.spacing(largest) > ROUNDING * unit:
            raise UserError(
                f"{base.path}: column {name}: expected values that can be told apart, got some around "
                f"{largest:.6g} that change by {unit:.3g} a row in float64; subtract a constant, such as "
                f"{float(np.nanmin(column)):.6g}"
            )


def describe(filled: Filled, split_of: np.ndarray, source: str, missing: str) -> pd.DataFrame:
    """The description table: a row a time step, in the order of the files.

    Where cells may be `missing`, it counts those that are absent, filled in or dropped.
    """
    import pandas as pd

    table, values = filled.rows, filled.rows[:, 1:]
    absent = np.isnan(values) & (missing == "keep")
    present = np.ma.masked_array(values, absent)
    rows = {
        "split": split_of.astype(object),
        "label": np.full(len(table), -1),
        **{k: f(1).filled(np.nan) for k, f in (("min", present.min), ("max", present.max), ("mean", present.mean))},
        "spread": present.std(1).filled(np.nan),
        "length": np.full(len(table), values.shape[1]),
        "distinct": [len(np.unique(v)) for v in values],
        "unknown": np.zeros(len(table), np.int64),
        "time": table[:, 0],
        "finite": np.isfinite(table[:, 0]) & (np.isfinite(values) | absent).all(1),
        "digest": [hashlib.sha256(row.tobytes()).hexdigest()[:16] for row in table],
        "source": source,
    }
    rows |= {"absent": absent.sum(1)} if missing == "keep" else {}
    rows |= {"filled": filled.cells, "dropped": filled.dropped} if missing not in ("error", "keep") else {}
    return pd.DataFrame(rows)
