"""Schemas of `tasks:`, `experiments:`, `budgets:`, and of params.yaml itself."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from genfoundry.config.dataset_schema import Dataset, Judge
from genfoundry.config.strict import Frozen

Number = Annotated[int, Field(ge=0)]
Steps = Number | dict[str, Number]
Count = Annotated[int, Field(ge=1)]
Several = Annotated[int, Field(ge=2)]
Scalar = bool | int | float | str
Precision = Literal["float32", "tf32", "bf16"]
Binarise = Literal["dynamic", "threshold"]


class Task(Frozen):
    """A data set with its levels, binarisation and number of labels, and the objective that models are ranked by.

    `margin`: by how much a model must be better than the champion on gate to replace it, in the objective's unit;
    training seeds may ask for more (`selection.margins`).
    """

    dataset: str
    objective: str
    direction: Literal["minimize", "maximize"] = "minimize"
    levels: Several | None = None
    binarise: Binarise | None = None
    labels: Count | None = None
    margin: float = Field(0.0, ge=0)


class Data(Frozen):
    """What the data loader does to the prepared arrays.

    Attributes:
        levels: grey values to quantise to.
        binarise: how 2 levels are made.
        labels: training items, equally many of each class, that keep their label.
        labelled: their share of a batch; default: 0.5; 1: no others.
        without: classes left out of training, which serve as out-of-distribution data.
        streams: instead of windows anywhere, each row of a batch reads so many values a step and continues there at the
            next.
        resets: the probability that such a row begins anew.
    """

    levels: Several | None = None
    binarise: Binarise | None = None
    labels: Count | None = None
    labelled: float | None = Field(None, gt=0, le=1)
    without: tuple[Number, ...] = ()
    streams: Several | None = None
    resets: float = Field(0.25, ge=0, le=1)


class Search(Frozen):
    """A searched hyperparameter: `choices`, or a range `low`..`high`, of integers if both are; `log`: logarithmic."""

    choices: tuple[Scalar, ...] | None = None
    low: int | float | None = None
    high: int | float | None = None
    log: bool = False

    @model_validator(mode="after")
    def _check_range(self) -> Search:
        ranged = self.low is not None and self.high is not None
        if (self.choices is None) == (not ranged):
            raise ValueError("expected either choices, or low and high")
        if ranged and not self.low < self.high:  # type: ignore[operator]
            raise ValueError(f"expected low below high, got {self.low} and {self.high}")
        if ranged and self.log and self.low <= 0:  # type: ignore[operator]
            raise ValueError(f"expected a logarithmic range above 0, got low: {self.low}")
        return self

    def bounds(self) -> tuple[Scalar, ...]:
        """The values that must be valid for the whole space to be."""
        return self.choices if self.choices is not None else (self.low, self.high)  # type: ignore[return-value]


class Train(Frozen):
    """How `fit` trains: AdamW for each player, linear warm-up to a cosine, clipping, moving average.

    Attributes:
        batch: items a step.
        lr: peak learning rate of every player.
        betas: AdamW's.
        weight_decay: AdamW's.
        warmup: share of the steps.
        final: share of the peak learning rate that is left at the end.
        clip: largest gradient norm of a player; None: no clipping.
        ema: decay of the moving average of weights; 0: none.
        steps: of each phase.
        precision: of the computation.
    """

    batch: Count = 64
    lr: dict[str, float] = {}
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = Field(0.0, ge=0)
    warmup: float = Field(0.05, ge=0, lt=1)
    final: float = Field(0.02, ge=0, le=1)
    clip: float | None = Field(1.0, gt=0)
    ema: float = Field(0.0, ge=0, lt=1)
    steps: dict[str, int] = {}
    precision: Precision = "float32"


class Bound(Frozen):
    """The importance-weighted bound of test items: draws `k` of each, and how many items."""

    k: Count = 64
    items: Several = 200


class Budget(Frozen):
    """Numbers of steps, trials and samples, never seconds.

    Attributes:
        trials: of a study.
        trial_batch: trials that are asked before the first of them is told; they can run at the same time, on several
            machines, and are part of the result.
        trial_share: the share of the steps that a trial trains.
        trial_items: items of val that a trial is measured on; default: all. Of a task with labels no more than these.
        test_items: images of test that metrics are computed on; default: all. Ranking and promotion use all of val and
            gate.
        samples: for the sample metrics.
        seeds: trainings of a model.
        bound: the importance-weighted bound.
    """

    trials: Number
    trial_batch: Count = 1
    trial_share: float = Field(gt=0, le=1)
    trial_items: Several | None = None
    test_items: Several | None = None
    samples: Several
    seeds: Count = 1
    bound: Bound = Bound()


class Entry(Frozen):
    """One entry under `experiments:`.

    Attributes:
        dataset: of the task.
        task: what the model is tuned for.
        model: the file under `models`.
        data: what the data loader does.
        hyper: hyperparameters that differ from the model's defaults.
        train: settings of the training that differ from the model's defaults.
        search: dotted key -> what a study tries.
        steps: budget -> steps of the only phase, or of each phase.
        seeds: trainings, instead of the budget's number; or a number for some budgets. The first is the model, the
            others its spread.
    """

    dataset: str
    task: str
    model: str
    data: Data = Data()
    hyper: dict[str, Any] = {}
    train: dict[str, Any] = {}
    search: dict[str, Search] = {}
    steps: dict[str, Steps] = {}
    seeds: Count | dict[str, Count] | None = None


class Run(Frozen):
    """Settings of every stage that computes; all of them are part of the result."""

    seed: Number
    threads: int = Field(ge=1, le=1024)
    device: str = Field("auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")
    precision: Precision = "float32"
    arithmetic: Literal["native", "portable"] = "native"


class Params(Run):
    """Everything in params.yaml."""

    budget: str
    budgets: dict[str, Budget]
    datasets: dict[str, Dataset]
    judges: dict[str, Judge] = {}
    tasks: dict[str, Task]
    experiments: dict[str, Entry]
    max_minutes: dict[str, Annotated[float, Field(gt=0)]] = {}
