"""Description table of prepared images and videos."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[Any]
AT_ONCE = 1 << 22  # values: what is computed on the way takes several times their bytes


def describe(x: Array, label: Array, split: Array, digest: Array, source: Array) -> pd.DataFrame:
    """The table of images (N, ...): a row each."""
    import pandas as pd

    flat = x.reshape(len(x), -1)
    columns = {name: np.zeros(len(flat)) for name in ("min", "max", "mean", "spread", "distinct")}
    step = max(1, AT_ONCE // flat.shape[1])
    for at in range(0, len(flat), step):
        for name, values in _compute_statistics(flat[at : at + step]).items():
            columns[name][at : at + step] = values
    rows = {
        "split": split.astype(object),
        "label": label.astype(np.int64),
        **{name: columns[name] for name in ("min", "max", "mean", "spread")},
        "length": np.full(len(flat), flat.shape[1]),
        "distinct": columns["distinct"].astype(np.int64),
        "unknown": np.zeros(len(flat), np.int64),
        "time": np.full(len(flat), np.nan),
        "finite": np.ones(len(flat), bool),
        "digest": digest.astype(object),
        "source": source.astype(object),
    }
    return pd.DataFrame(rows)


def _compute_statistics(flat: Array) -> dict[str, Array]:
    """Statistics of each row of (N, D) uint8."""
    ordered = np.sort(flat, axis=1)
    return {
        "min": ordered[:, 0],
        "max": ordered[:, -1],
        "mean": flat.mean(1),
        "spread": flat.std(1, dtype=np.float32),
        "distinct": 1 + (ordered[:, 1:] != ordered[:, :-1]).sum(1),
    }
