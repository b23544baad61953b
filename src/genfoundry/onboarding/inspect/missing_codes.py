"""Codes for missing values, such as -999: taken as values, they would be learnt."""

from __future__ import annotations

import re

import numpy as np

from genfoundry.data.readers.time_csv import SeriesTable
from genfoundry.errors import UserError

CODE = re.compile(r"9{3,}(\.\d+)?|-9{2,}(\.\d+)?")
HUGE = 1e19  # 1e20, -1e34, 9.96921e36 and 3.4e38 are fill values
APART = 2  # times the span of all other values: how far from them a code lies
LEAST = 10  # other values by which that can be judged


def refuse_missing_codes(table: SeriesTable) -> None:
    """Refuse a column whose lowest or highest value looks like a code for a missing value (-999, 1e20).

    Raises:
        UserError: names the line, the column, the value and what to do.
    """
    for name, column in zip(table.names, table.rows.T[1:], strict=True):
        for value in {float(np.nanmin(column)), float(np.nanmax(column))} if not np.isnan(column).all() else ():
            others = column[~np.isnan(column) & (column != value)]
            if len(others) < LEAST or not (CODE.fullmatch(f"{value:.15g}") or abs(value) >= HUGE):
                continue
            low, high = float(others.min()), float(others.max())
            if max(low - value, value - high) > APART * (high - low):
                rows = np.flatnonzero(column == value)
                raise UserError(
                    f"{table.path}:{table.lines[rows[0]]}: column {name}: {value:.15g} ({len(rows)} in all), but all "
                    f"others are {low:.6g} to {high:.6g}; leave such cells empty if it stands for a missing value, or "
                    "write the entry by hand if it is a value"
                )
