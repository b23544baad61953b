"""The record that describes a metric: its metadata, what it asks a model for, and how its value follows from scores.

A metric is computed in steps: `predict` (model -> outputs), `score` (outputs -> a value an item), `aggregate` (scores
-> a value with its interval). Metrics that have a step in common name the same function, which then runs once. What a
tuning imports is the file of its own objective alone: intervals are computed in `aggregate`, never in a metric's file
that a task may be tuned by.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from genfoundry.errors import UserError
from genfoundry.evaluation.scores import Array, Ids, Outputs, Scores

if TYPE_CHECKING:
    from pathlib import Path

    from genfoundry.evaluation.bootstrap import Estimate
    from genfoundry.models.base import Hyper

QUANTILES = (0.05, 0.5, 0.95)  # of a forecast: the 90% interval and the point forecast
ALL = ("images", "text", "lines", "series", "video", "pairs")  # modalities
GROUPS = {  # of metrics, in the order of a leaderboard's columns -> title, what they say
    "likelihood": ("Likelihood", "The negative log-likelihood of held-out items, or a bound on it."),
    "forecasts": ("Forecasting", "How far forecasts are from the values that followed."),
    "translations": ("Translation", "How well a generated target agrees with the true one."),
    "classes": ("Classification", "How often the model predicts the class of an item."),
    "samples": ("Samples", "How close generated items are to real ones, and whether they are memorized."),
    "class samples": (
        "Class-conditional samples",
        "Whether generated items of a given class are of it, and what classifiers learn from them.",
    ),
    "restoration": (
        "Reconstruction, denoising and inpainting",
        "How close a reconstructed or restored item is to the original. Every method receives the same damaged items.",
    ),
    "codes": ("Latent representation", "What the latent code costs, and what it holds."),
    "edits": (
        "Latent-space editing",
        "The difference of two classes' mean codes is added to an item's code, at strength 1. The references are pixel "
        "values moved likewise and the nearest training item of the target class.",
    ),
    "ood": (
        "Out-of-distribution detection",
        "AUROC of telling test items from other data by likelihood; 0.5 is chance. A raw likelihood is high for simple "
        "images whatever they show (Nalisnick et al. 2019); the corrected one subtracts the length of the image's "
        "shortest lossless file (Serra et al. 2020).",
    ),
}
Direction = Literal["minimize", "maximize", "ideal"]
Draw: TypeAlias = "Callable[[Path], None]"  # draws a picture at a path that ends in .png, or writes a text beside it


@dataclass(frozen=True)
class Distance:
    """A squared distance of generated and real items, and what each item moves it by.

    `value` is the metric, `squared` the distance of the samples with the bias in it, `bias` what it is on average where
    the distributions agree; `of_fake` (n,) and `of_real` (m,) are the influence of the items (Hampel 1974), less a
    constant; `ids` (m,) are the groups of the real ones.
    """

    value: float
    squared: float
    bias: float
    of_fake: Array
    of_real: Array
    ids: Ids | None


@dataclass(frozen=True)
class ClassStatistic:
    """A statistic of the classes of n generated items, which are independent: of how many are of each class.

    Args:
        name: of the metric, which seeds the bootstrap.
        counts: (K,) items of each class.
        statistic: (R, K) counts -> (R,) values.
        unseen: whether its bootstrap may draw a class without an item.
        least, most: its range, which an interval stays within.
    """

    name: str
    counts: NDArray[np.int64]
    statistic: Callable[[Array], Array]
    unseen: bool = False
    least: float = 0.0
    most: float = math.inf

    @property
    def value(self) -> float:
        return float(self.statistic(self.counts[None].astype(np.float64))[0])


Statistics: TypeAlias = "Mapping[str, Estimate | Distance | ClassStatistic]"


@dataclass(frozen=True)
class Requirement:
    """What a model must be able to do for a metric to apply, and why a cell is empty where it does not.

    Args:
        label: what a page calls the metrics that need it.
        abilities: protocols of `models.abilities` by name, "GenerativeModel", "likelihood" for any likelihood, and what
            the data set must have: "judge" (a feature network), "labels".
        why_absent: (model, judge) -> the reason in words why the model has no value.
        reference: the reason for a row of the table that is no trained model.
        configured: whether a model with this `Config` can compute it; None where every configuration can.
    """

    label: str
    abilities: tuple[str, ...]
    why_absent: Callable[[Any, Any], str]
    reference: str = "not measured"
    configured: Callable[[Hyper | None], bool] | None = None

    def is_met_by(self, model: Any) -> bool:
        """Return whether a model, or a class of models, has the required abilities."""
        return all(has_ability(model, name) for name in self.abilities if name not in ("judge", "labels"))


def has_ability(model: Any, name: str) -> bool:
    """Return whether a model, or a class of models, has an ability of `models.abilities`, by its name."""
    from genfoundry.models import abilities, base

    # Classes, too: what a model can compute is asked before one is built
    cls = model if isinstance(model, type) else type(model)
    if name == "likelihood":
        return issubclass(cls, base.GenerativeModel) and model.likelihood != "none"
    if name == "GenerativeModel":
        return issubclass(cls, base.GenerativeModel)
    # By its methods: issubclass() refuses protocols with attributes
    protocol = vars(getattr(abilities, name))
    methods = [method for method, value in protocol.items() if callable(value) and not method.startswith("_")]
    return all(hasattr(model, method) for method in methods)


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric: metadata, and the functions that compute it.

    Args:
        name: its key in cards, in the leaderboard and in MLflow.
        title: the heading of its column.
        unit: the unit of its value; "" for none.
        direction: "ideal" of one that is best at the value `ideal`.
        description: what it says, in a line.
        requires: the abilities that it needs.
        group: the section it stands in, a key of `GROUPS`.
        inputs: names of the scores that it is computed from, the first of which states its items.
        optional: scores that it uses where they are there.
        modalities: kinds of data that it applies to; `ALL` includes modalities that are added later.
        objective: whether a task can be tuned for and ranked by it.
        column: whether it is a column of the leaderboard; others stand on a model's page alone.
        test_only: whether it is measured on `test` alone; others on `val` and `gate` too.
        predict: (model, context) -> outputs by name; None where the outputs are those of other metrics.
        score: (outputs, context) -> scores by name; {} where the outputs are not there.
        per_item: (scores, values in an item) -> (n,) values whose mean is the metric (default: the first input).
        statistics: (scores, values in an item) -> estimates by name, of a metric that is no mean of items.
        beside: (outputs, context) -> the scores of methods that are no models, by the methods' names.
        plots: (outputs, context) -> what draws a picture, by the picture's name.
    """

    name: str
    title: str
    unit: str
    direction: Direction
    description: str
    requires: Requirement
    group: str
    inputs: tuple[str, ...]
    optional: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ("images",)
    ideal: float | None = None
    objective: bool = False
    column: bool = True
    test_only: bool = False
    predict: Callable[[Any, Any], Outputs] | None = None
    score: Callable[[Outputs, Any], Scores]
    per_item: Callable[[Scores, int], Array] | None = None
    statistics: Callable[[Scores, int], Statistics] | None = None
    beside: Callable[[Outputs, Any], dict[str, Scores]] | None = None
    plots: Callable[[Outputs, Any], dict[str, Draw]] | None = None

    def applies_to(self, modality: str) -> bool:
        """Return whether the metric is defined for data of a modality."""
        return self.modalities == ALL or modality in self.modalities

    def items(self, scores: Scores, dims: int) -> Array | None:
        """Values (n,) whose mean is the metric; None where it is no mean of items (a distance of two samples).

        Raises:
            UserError: what it is computed from was not measured.
        """
        if missing := [name for name in self.inputs if name not in scores]:
            hint = " (no item has a label)" if missing == ["hits"] else ""
            raise UserError(f"{self.name}: cannot be computed, since {', '.join(missing)} was not measured{hint}")
        if self.statistics is not None:
            return None
        if self.per_item is not None:
            return self.per_item(scores, dims)
        return np.asarray(scores[self.inputs[0]], np.float64)

    def value(self, scores: Scores, dims: int) -> float:
        """The metric; `dims` is the number of values in an item (`Spec.dims`).

        Raises:
            UserError: what it is computed from was not measured.
        """
        items = self.items(scores, dims)
        if items is None:
            assert self.statistics is not None
            return self.statistics(scores, dims)[self.name].value
        return float(items.mean())

    def sort_key(self, value: float) -> float:
        """Map a value so that smaller is better (|value - ideal| for a two-sided metric)."""
        if self.ideal is not None:
            return abs(value - self.ideal)
        return value if self.direction == "minimize" else -value

    @property
    def direction_label(self) -> str:
        """Which values are better, in a word or two."""
        if self.direction == "ideal":
            return f"{self.ideal:g} is ideal"
        return "lower is better" if self.direction == "minimize" else "higher is better"
