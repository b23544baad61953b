"""Series: CSV with a time column and one or several numeric ones, split by time, windows as samples."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from genfoundry import config
from genfoundry.data.preparation import Prepared
from genfoundry.data.readers import precision
from genfoundry.data.readers.listing import files, only
from genfoundry.data.readers.time_csv import Table, read
from genfoundry.data.splits.series import eval_windows
from genfoundry.data.transforms import seasonality
from genfoundry.data.transforms.missing_values import Filled, complete, filled, gridded
from genfoundry.errors import UserError
from genfoundry.splits import SPLITS
from genfoundry.types import Spec

if TYPE_CHECKING:
    import pandas as pd

Ints = NDArray[np.int64]


def prepare(raw: Path, inbox: Path, dataset: config.Dataset, seed: int) -> Prepared:
    """Rows in time -> a stretch of time a split, each with the `context` rows before it.

    The stretches' borders come from the raw file's own span, so that they do not move when rows arrive; rows after its
    end extend the last stretch.
    """
    path = the_file(raw)
    only(inbox, ".csv", ".csv.gz")
    base = read(path, "months" if dataset.step == "month" else None, dataset.columns)
    more = [read(added, base.clock, dataset.columns, base) for added in files(inbox, ".csv", ".csv.gz")]
    for one in (base, *more) if dataset.missing == "error" else ():
        complete(one)
    table = _joined(base, more)
    if dataset.step is not None:
        table = gridded(table, 1.0 if dataset.step == "month" else dataset.step, path.name)
    whole = filled(table, _where(table[:, 0], base.rows[:, 0], dataset.split), dataset.missing, path.name)
    where = _where(whole.rows[:, 0], base.rows[:, 0], dataset.split)
    _varies(whole.rows[where == "train", 1:], base)
    train = whole.rows[where == "train", 1:]
    season = dataset.season or seasonality.period(train, dataset.context)
    scale = seasonality.naive_error(train, season)
    precision.check(whole.rows[:, 1:], scale, base)
    splits, counts = {}, {}
    for split in SPLITS:
        inside = np.flatnonzero(where == split)
        past = whole.rows[max(0, inside[0] - dataset.context) : inside[0], 1:] if len(inside) else whole.rows[:0, 1:]
        splits[split] = {"x": whole.rows[inside, 1:], "past": past, "first": inside[:1]}
        splits[split] |= {"season": np.array([season]), "scale": scale}
        starts, groups = eval_windows(split, len(inside) + len(past) - dataset.context, dataset.window)
        splits[split] |= {"group": groups} if split != "train" else {}  # counted, and one alone refused, by `prepare`
        counts[split] = len(starts)
    width = len(base.names)
    spec = Spec(
        (dataset.window, width),
        None,
        cond_shape=(dataset.context, width + dataset.numbered) if dataset.context else None,
    )
    described = describe(whole, where, raw.name, dataset.missing)
    return Prepared(splits, spec, base.names, counts, described)


def the_file(raw: Path) -> Path:
    """The only .csv file of a folder.

    Raises:
        UserError: there is none, or several.
    """
    paths = files(raw, ".csv", ".csv.gz")
    if len(paths) == 1:
        return paths[0]
    names = ", ".join(path.relative_to(raw).as_posix() for path in paths[:3]) + (", ..." if len(paths) > 3 else "")
    many = f" ({names}): give each a data set of its own, or make each a column of one file" if paths else ""
    raise UserError(f"{raw}: {len(paths)} .csv files; one is right, a file a series{many}")


def _joined(base: Table, more: list[Table]) -> np.ndarray:
    """All rows; the same row again is no news, another value for its time stays and is refused by `order`."""
    rows = {row.tobytes(): row for row in base.rows}
    for table in more:
        if table.head != base.head:
            raise UserError(f"{table.path}: columns {', '.join(table.head)}, but the series has {', '.join(base.head)}")
        rows |= {row.tobytes(): row for row in table.rows if row.tobytes() not in rows}
    return np.array(list(rows.values()))


def _where(times: np.ndarray, base: np.ndarray, shares: config.Shares) -> np.ndarray:
    """The split of each time."""
    low, span = base[0], base[-1] - base[0]
    where = np.full(len(times), "train", dtype="<U5")
    borders = (
        ("val", shares.val + shares.gate + shares.test),
        ("gate", shares.gate + shares.test),
        ("test", shares.test),
    )
    for split, share in borders:
        where[times >= low + span * (1 - share)] = split
    return where


def _varies(train: np.ndarray, base: Table) -> None:
    """Refuse a column in which nothing happens."""
    for name, held, column in zip(base.names, base.rows.T[1:], train.T, strict=True):
        if np.isnan(held).all():
            raise UserError(f"{base.path}: column {name} has no value at all; {_others(name, base)}")
        column = column[~np.isnan(column)]
        if len(column) and (column == column[0]).all():
            raise UserError(f"{base.path}: column {name} is {column[0]:.15g} all through train; {_others(name, base)}")


def _others(name: str, base: Table) -> str:
    """How to leave a column out."""
    names = ", ".join(other for other in base.names if other != name)
    if not names:
        return "a series whose values vary is needed"
    return f"columns: [{names}] in the data set's entry leaves it out"


def describe(whole: Filled, where: np.ndarray, source: str, missing: str) -> pd.DataFrame:
    """One row a time step, in the order of the files; where cells may be `missing`, also what became of them."""
    import pandas as pd

    table, values = whole.rows, whole.rows[:, 1:]
    absent = np.isnan(values) & (missing == "keep")
    seen = np.ma.masked_array(values, absent)
    rows = {
        "split": where.astype(object),
        "label": np.full(len(table), -1),
        **{k: f(1).filled(np.nan) for k, f in (("min", seen.min), ("max", seen.max), ("mean", seen.mean))},
        "spread": seen.std(1).filled(np.nan),
        "length": np.full(len(table), values.shape[1]),
        "distinct": [len(np.unique(v)) for v in values],
        "unknown": np.zeros(len(table), np.int64),
        "time": table[:, 0],
        "finite": np.isfinite(table[:, 0]) & (np.isfinite(values) | absent).all(1),
        "digest": [hashlib.sha256(row.tobytes()).hexdigest()[:16] for row in table],
        "source": source,
    }
    rows |= {"absent": absent.sum(1)} if missing == "keep" else {}
    rows |= {"filled": whole.cells, "dropped": whole.dropped} if missing not in ("error", "keep") else {}
    return pd.DataFrame(rows)
