"""The objectives that a task can be tuned for and ranked by, and their values: pure numpy on scores and features.

Scores are what `evaluate.score` returns for one split: "nll" (N,) nats a sample, "nll_cells" (N,) how many of its
values are there where some are missing, "mae" and "dtw" (N,) in the series'
unit, "mase" (N,) in errors of the value a season ago in train, "hits" (M,) of labelled items, 1 where it is told,
"restore_<damage>_psnr" (n,) in dB of restored items, "frame" (N,) nats a frame of a video, "chrf" (n,) of translations,
of 100, "features" and "real" (n, F) of generated and real items in the judge's feature space. Beside a score stand the
ids of its items' groups, "<name>_group" (n,), where items are not independent: an interval is over groups.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from genfoundry.errors import UserError
from genfoundry.evaluation.frechet import Array, frechet

if TYPE_CHECKING:
    from genfoundry.models.base import Hyper, Learner

Ids = NDArray[np.int64]
Scores = Mapping[str, NDArray[np.generic]]
GROUP = "_group"  # "<name>_group" (n,) int64 beside a score "<name>" (n,): the independent unit of each of its items
CELLS = "nll_cells"  # (N,) values of an item that are there, beside "nll" where some are missing
QUANTILES = (0.05, 0.5, 0.95)  # of a forecast: the 90% interval and the point forecast


@dataclass(frozen=True)
class Objective:
    """A figure that a task can ask for: the scores it needs, its unit, and how it is computed from them."""

    name: str
    direction: Literal["minimize", "maximize"]
    needs: tuple[str, ...]
    modalities: tuple[str, ...]
    unit: str
    factor: Callable[[int], float] = lambda dims: 1.0
    cells: str = ""  # the score (N,), where there is one, that says how many values of an item are not missing

    def per_item(self, scores: Scores, dims: int) -> Array | None:
        """(N,) values whose mean is the figure; None where the figure is no mean (a distance of two samples)."""
        if len(self.needs) > 1:
            return None
        values = np.asarray(scores[self.needs[0]], np.float64)
        if self.cells in scores:
            return _per_cell(values, np.asarray(scores[self.cells], np.float64))
        return values * self.factor(dims)

    def value(self, scores: Scores, dims: int) -> float:
        """The figure; `dims` is the number of values in a sample (`Spec.dims`).

        Raises:
            UserError: what it is computed from was not measured.
        """
        if missing := [need for need in self.needs if need not in scores]:
            hint = " (no item has a label)" if missing == ["hits"] else ""
            raise UserError(f"{self.name}: cannot be computed, since {', '.join(missing)} was not measured{hint}")
        items = self.per_item(scores, dims)
        return float(items.mean()) if items is not None else frechet(*features_of(scores))


def ids_of(scores: Scores, name: str) -> Ids | None:
    """(n,) groups of a score's items; None where every item is its own."""
    found = scores.get(f"{name}{GROUP}")
    if found is not None and len(found) != len(scores[name]):
        raise UserError(f"{name}{GROUP}: expected {len(scores[name])} ids, one an item, got {len(found)}")
    return None if found is None else np.asarray(found, np.int64)


def groups_of(scores: Scores, name: str) -> Ids:
    """(n,) groups of a score's items; 0 to n - 1 where every item is its own."""
    found = ids_of(scores, name)
    return np.arange(len(scores[name])) if found is None else found


def _per_cell(total: Array, cells: Array) -> Array:
    """(N,) values whose mean is the sum of totals over that of cells, and whose spread is that of this ratio.

    The ratio estimator and its linearisation (Cochran 1977, 6.4): an item with few cells weighs little.
    """
    ratio = total.sum() / cells.sum()
    return np.asarray(ratio + (total - ratio * cells) / cells.mean())


DAMAGES = ("gaussian", "salt_pepper", "mask")  # what `restoration` does to images
RESTORED = {f"restore_{damage}_psnr": damage for damage in DAMAGES}
_ALL = ("images", "text", "series", "video")  # and lines, pairs: of no length in common, so that none divides by it
OBJECTIVES: Mapping[str, Objective] = {
    o.name: o
    for o in (
        Objective("bits_per_dim", "minimize", ("nll",), ("images", "video"), "bits", lambda d: 1 / (d * math.log(2))),
        Objective("nats_per_char", "minimize", ("nll",), ("text",), "nats", lambda d: 1 / d),
        Objective("nats_per_char_carried", "minimize", ("nll_carried",), ("text",), "nats", lambda d: 1 / d),
        Objective("nats", "minimize", ("nll",), _ALL, "nats a value", lambda d: 1 / d, CELLS),
        Objective("nats_per_sample", "minimize", ("nll",), (*_ALL, "lines", "pairs"), "nats a sample"),
        Objective("nats_per_frame", "minimize", ("frame",), ("video",), "nats a frame"),
        Objective("mae", "minimize", ("mae",), ("series",), "the series' unit"),
        Objective("mase", "minimize", ("mase",), ("series",), "seasonal-naive errors in train"),
        Objective("dtw", "minimize", ("dtw",), ("series",), "the series' unit"),
        Objective("chrf", "maximize", ("chrf",), ("pairs",), "of 100"),
        Objective("accuracy", "maximize", ("hits",), ("images",), "share"),
        *(Objective(name, "maximize", (name,), ("images",), "dB") for name in RESTORED),
        Objective("frechet", "minimize", ("features", "real"), ("images",), "squared deviations of judge features"),
    )
}


def objective(name: str) -> Objective:
    """The objective called `name`.

    Raises:
        UserError: there is none; the message lists the names.
    """
    if name not in OBJECTIVES:
        raise UserError(f"objective: {name!r} is unknown; one of {', '.join(OBJECTIVES)}")
    return OBJECTIVES[name]


def objectives(model: type[Learner], modality: str, config: Hyper | None = None) -> tuple[str, ...]:
    """Names of the objectives that `model`, so configured, can compute on such data: by its abilities, not its name."""
    from genfoundry.models.abilities import Classifies, Forecasts, Streams, Translates, get_damages
    from genfoundry.models.base import GenerativeModel

    able: set[str] = set()
    if issubclass(model, GenerativeModel):
        able |= {"features", "real"} | ({"nll", "frame"} if model.likelihood != "none" else set())
    if issubclass(model, Forecasts):
        able |= {"mae", "mase", "dtw"}
    if issubclass(model, Streams):
        able |= {"nll_carried"}
    if issubclass(model, Translates):
        able |= {"chrf"}
    if issubclass(model, Classifies):
        able |= {"hits"}
    if hasattr(model, "restore") and config is not None:
        able |= {f"restore_{damage}_psnr" for damage in get_damages(config)}
    found = (o for o in OBJECTIVES.values() if able.issuperset(o.needs) and modality in o.modalities)
    return tuple(o.name for o in found)


def features_of(scores: Scores) -> tuple[Array, Array]:
    """Generated and real features (n, F), as many of either."""
    ours, real = (np.asarray(scores[key], np.float64) for key in ("features", "real"))
    if ours.shape != real.shape:
        raise UserError(f"frechet: {ours.shape} generated against {real.shape} real features; use the same n and judge")
    return ours, real
