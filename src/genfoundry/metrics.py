"""Objectives, the Frechet distance, and who is better: pure numpy on per-item scores and features.

Scores are what `evaluate.score` returns for one split: "nll" (N,) nats a sample, "nll_cells" (N,) how many of its
values are there where some are missing, "mae" and "dtw" (N,) in the series'
unit, "mase" (N,) in errors of the value a season ago in train, "hits" (M,) of labelled items, 1 where it is told,
"restore_<damage>_psnr" (n,) in dB of restored items, "frame" (N,) nats a frame of a video, "chrf" (n,) of translations,
of 100, "features" and "real" (n, F) of generated and real items in the judge's feature space.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from genfoundry.distances import Array, Moments, frechet
from genfoundry.types import UserError, counted

if TYPE_CHECKING:
    from genfoundry.models.base import Hyper, Learner

Scores = Mapping[str, NDArray[np.generic]]
RESAMPLES = 100  # of a bootstrap interval
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
        return float(items.mean()) if items is not None else frechet(*_features(scores))

    def stderr(self, scores: Scores, dims: int) -> float | None:
        """Its standard error over items (a distance: over resampled items); None for fewer than two items."""
        items = self.per_item(scores, dims)
        if items is None:
            return float(np.std(self.resampled(scores, dims), ddof=1))
        return float(items.std(ddof=1) / math.sqrt(len(items))) if len(items) > 1 else None

    def resampled(self, scores: Scores, dims: int) -> Array:
        """(RESAMPLES,) figures of items drawn with replacement: what its interval is read from."""
        items, rng = self.per_item(scores, dims), np.random.default_rng(counted("resampled", self.name))
        if items is not None:
            return means(items, rng)
        ours, real = (Moments(f) for f in _features(scores))
        draws = np.array([ours.draw(rng).distance(real.draw(rng)) for _ in range(RESAMPLES)])
        return centred(ours.distance(real), draws)


def groups_of(scores: Scores, name: str) -> NDArray[np.int64]:
    """(n,) the independent unit of each item of a score; each is its own where none is given."""
    given = scores.get(name + GROUP)
    return np.arange(len(scores[name])) if given is None else np.asarray(given, np.int64)


def _per_cell(total: Array, cells: Array) -> Array:
    """(N,) values whose mean is the sum of totals over that of cells, and whose spread is that of this ratio.

    The ratio estimator and its linearisation (Cochran 1977, 6.4): an item with few cells weighs little.
    """
    ratio = total.sum() / cells.sum()
    return np.asarray(ratio + (total - ratio * cells) / cells.mean())


def means(items: Array, rng: np.random.Generator, repeats: int = RESAMPLES) -> Array:
    """(repeats,) means of `items` (N,) drawn with replacement."""
    return np.array([items[rng.integers(0, len(items), len(items))].mean() for _ in range(repeats)])


def centred(value: float, draws: Array) -> Array:
    """The draws of a distance, moved to be centred where the figure is.

    A resample holds fewer distinct items, which lifts a distance: that shift must not pass for spread.
    """
    moved: Array = draws - draws.mean() + value
    return moved


def interval(draws: Array) -> tuple[float, float]:
    """95% interval: percentiles of the bootstrap's draws."""
    low, high = np.quantile(draws, (0.025, 0.975))
    return float(low), float(high)


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
        Objective("frechet", "minimize", ("features", "real"), ("images",), "squared judge features"),
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
    from genfoundry.models.base import Classifies, Forecasts, GenerativeModel, Streams, Translates, undone

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
        able |= {f"restore_{damage}_psnr" for damage in undone(config)}
    found = (o for o in OBJECTIVES.values() if able.issuperset(o.needs) and modality in o.modalities)
    return tuple(o.name for o in found)


def figures(scores: Scores, dims: int, modality: str) -> dict[str, float]:
    """Every objective that the scores allow, with `<name>_stderr` beside it, and the mean of every other score.

    A figure that is not finite is left out: a model that diverged has none.
    """
    out: dict[str, float] = {}
    for o in OBJECTIVES.values():
        if modality in o.modalities and all(need in scores for need in o.needs):
            out[o.name] = o.value(scores, dims)
            if (error := o.stderr(scores, dims)) is not None:
                out[f"{o.name}_stderr"] = error
    needed = {need for o in OBJECTIVES.values() for need in (*o.needs, o.cells)}
    out |= {name: float(np.mean(np.asarray(v, np.float64))) for name, v in sorted(scores.items())
            if name not in needed and not name.endswith(GROUP)}  # fmt: skip
    return {name: value for name, value in out.items() if math.isfinite(value)}


def improvement(
    candidate: Scores, incumbent: Scores, objective: Objective | str, dims: int, *, repeats: int = 200, seed: int = 0
) -> tuple[float, float, float]:
    """By how much the candidate is better (positive: better), and the 95% bootstrap interval of that: (d, low, high).

    Per-item scores are resampled in pairs. For the Frechet distance real items are resampled for both alike, generated
    ones for each model on its own. The interval is the percentile one, moved to be centred where the difference is: a
    resample holds fewer distinct items, which lifts both distances and must not pass for a difference.

    Raises:
        UserError: the two were not measured on the same items.
    """
    o = OBJECTIVES[objective] if isinstance(objective, str) else objective
    rng = np.random.default_rng(counted("improvement", seed))
    sign = 1.0 if o.direction == "minimize" else -1.0
    ours, theirs = o.per_item(candidate, dims), o.per_item(incumbent, dims)
    if ours is None or theirs is None:
        difference, draws = _distances(candidate, incumbent, repeats, rng)
    else:
        if len(ours) != len(theirs):
            raise UserError(f"{o.name}: the candidate has {len(ours)} scores, the incumbent {len(theirs)}: not a pair")
        gaps = theirs - ours
        difference = float(gaps.mean())
        draws = means(gaps, rng, repeats)
    return sign * difference, *interval(centred(sign * difference, sign * draws))


def _distances(ours: Scores, theirs: Scores, repeats: int, rng: np.random.Generator) -> tuple[float, Array]:
    (a, real), (b, other) = _features(ours), _features(theirs)
    if real.shape != other.shape or a.shape != b.shape or not np.allclose(real, other, atol=1e-3):
        raise UserError(f"frechet: features {a.shape} and {b.shape} are not against the same {real.shape} real ones")
    drawn = []
    mine, yours, truth = Moments(a), Moments(b), Moments(real)
    for _ in range(repeats):
        seen = truth.draw(rng)
        drawn.append(seen.distance(yours.draw(rng)) - seen.distance(mine.draw(rng)))
    return truth.distance(yours) - truth.distance(mine), np.array(drawn)


def _features(scores: Scores) -> tuple[Array, Array]:
    ours, real = (np.asarray(scores[key], np.float64) for key in ("features", "real"))
    if ours.shape != real.shape:
        raise UserError(f"frechet: {ours.shape} generated against {real.shape} real features; use the same n and judge")
    return ours, real
