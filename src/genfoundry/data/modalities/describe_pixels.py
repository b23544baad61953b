"""Prepared images: what stands in the description table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[Any]
AT_A_TIME = 1 << 22  # values


def describe(x: Array, label: Array, split: Array, digest: Array, source: Array) -> pd.DataFrame:
    """One row an image."""
    import pandas as pd

    flat = x.reshape(len(x), -1)
    columns = {name: np.zeros(len(flat)) for name in ("min", "max", "mean", "spread", "distinct")}
    step = max(1, AT_A_TIME // flat.shape[1])  # rows: what is computed on the way takes several times their bytes
    for at in range(0, len(flat), step):
        for name, values in _statistics(flat[at : at + step]).items():
            columns[name][at : at + step] = values
    rows = {
        "split": split.astype(object),
        "label": label.astype(np.int64),
        "min": columns["min"],
        "max": columns["max"],
        "mean": columns["mean"],
        "spread": columns["spread"],
        "length": np.full(len(flat), flat.shape[1]),
        "distinct": columns["distinct"].astype(np.int64),
        "unknown": np.zeros(len(flat), np.int64),
        "time": np.full(len(flat), np.nan),
        "finite": np.ones(len(flat), bool),
        "digest": digest.astype(object),
        "source": source.astype(object),
    }
    return pd.DataFrame(rows)


def _statistics(flat: Array) -> dict[str, Array]:
    """Of each row of (N, D) uint8."""
    ordered = np.sort(flat, axis=1)  # sort a row, count its steps
    return {
        "min": ordered[:, 0],
        "max": ordered[:, -1],
        "mean": flat.mean(1),
        "spread": flat.std(1, dtype=np.float32),
        "distinct": 1 + (ordered[:, 1:] != ordered[:, :-1]).sum(1),
    }
