"""Whether float64 can tell a series' values apart: a small movement on a large offset it cannot."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from genfoundry.data.readers.time_csv import Table
from genfoundry.errors import UserError

Floats = NDArray[np.float64]
ROUNDING = 1e-4  # of the naive error: what rounding may add to an error measured in it


def check(values: Floats, scale: Floats, table: Table) -> None:
    """Refuse (L, D) values that float64 rounds by more than `ROUNDING` of their columns' naive errors `scale` (D,).

    Raises:
        UserError: names the column and what to subtract from it.
    """
    for name, column, unit in zip(table.names, values.T, scale, strict=True):
        largest = float(np.nanmax(np.abs(column), initial=0.0))
        if np.spacing(largest) > ROUNDING * unit:
            raise UserError(
                f"{table.path}: column {name}: values around {largest:.6g} that change by {unit:.3g} from row to row "
                f"cannot be told apart in float64; subtract a constant, such as {float(np.nanmin(column)):.6g}"
            )
