"""Schemas of `tasks:`, `experiments:`, `budgets:`, and of params.yaml as a whole."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from genfoundry.config.dataset_schema import Dataset, Judge
from genfoundry.config.strict import Frozen

Number = Annotated[int, Field(ge=0)]
Steps = Number | dict[str, Number]
Count = Annotated[int, Field(ge=1)]
Scalar = bool | int | float | str


class Task(Frozen):
    """A data set with its levels, binarisation and number of labels, and what models of it are ranked by.

    `margin`: by how much a model must surely be better than the champion on gate to take over, in the objective's unit;
    training seeds may ask for more (`margins`).
    """

    dataset: str
    objective: str
    direction: Literal["minimize", "maximize"] = "minimize"
    levels: int | None = Field(None, ge=2)
    binarise: Literal["dynamic", "threshold"] | None = None
    labels: int | None = Field(None, ge=1)
    margin: float = Field(0.0, ge=0)


class Data(Frozen):
    """What the Loader does to the prepared arrays.

    `labels`: so many training items, equally many of each class, keep their label; `labelled` is their share of a batch
    (0.5 unless set; 1: no others). `without`: classes whose items are left out of training; evaluation then asks
    whether they surprise the model. `streams`: instead of windows anywhere, each of the batch's rows reads so many
    values a step and goes on from there at the next; `resets` is the probability that it begins anew.
    """

    levels: int | None = Field(None, ge=2)
    binarise: Literal["dynamic", "threshold"] | None = None
    labels: int | None = Field(None, ge=1)
    labelled: float | None = Field(None, gt=0, le=1)
    without: tuple[Annotated[int, Field(ge=0)], ...] = ()
    streams: int | None = Field(None, ge=2)
    resets: float = Field(0.25, ge=0, le=1)


class Search(Frozen):
    """One searched setting: `choices`, or a range `low`..`high` (`log` for a logarithmic one, whole if both are)."""

    choices: tuple[Scalar, ...] | None = None
    low: int | float | None = None
    high: int | float | None = None
    log: bool = False

    @model_validator(mode="after")
    def _one_kind(self) -> Search:
        ranged = self.low is not None and self.high is not None
        if (self.choices is None) == (not ranged):
            raise ValueError("give either choices, or low and high")
        if ranged and not self.low < self.high:  # type: ignore[operator]
            raise ValueError(f"low {self.low} must be below high {self.high}")
        if ranged and self.log and self.low <= 0:  # type: ignore[operator]
            raise ValueError(f"a logarithmic range starts above 0, not at {self.low}")
        return self

    def bounds(self) -> tuple[Scalar, ...]:
        """The values that must be valid for the whole space to be."""
        return self.choices if self.choices is not None else (self.low, self.high)  # type: ignore[return-value]


class Train(Frozen):
    """How `fit` trains: AdamW a player, linear warm-up to a cosine, clipping, moving average.

    `lr` names every player; `warmup` and `final` are shares of the steps and of the peak rate; `clip` is the largest
    gradient norm a player; `ema` the moving average's decay (0: none).
    """

    batch: int = Field(64, ge=1)
    lr: dict[str, float] = {}
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = Field(0.0, ge=0)
    warmup: float = Field(0.05, ge=0, lt=1)
    final: float = Field(0.02, ge=0, le=1)
    clip: float | None = Field(1.0, gt=0)
    ema: float = Field(0.0, ge=0, lt=1)
    steps: dict[str, int] = {}
    precision: Literal["float32", "tf32", "bf16"] = "float32"


class Bound(Frozen):
    """The importance-weighted bound of test items: its draws `k`, and how many items."""

    k: int = Field(64, ge=1)
    items: int = Field(200, ge=2)


class Budget(Frozen):
    """Numbers, never seconds: trials a study, the share of the steps that a trial trains, samples, training seeds.

    `trial_items`: how many items of val a trial is measured on (all, unless set; of a task with labels no more than
    these). `test_items`: of how many images of test the figures are (all, unless set); what is chosen or promoted by is
    of all of val and gate. `trial_batch`: how many trials are asked before the first of them is told; they can run at
    the same time, on several machines, and are part of the result.
    """

    trials: int = Field(ge=0)
    trial_batch: int = Field(1, ge=1)
    trial_share: float = Field(gt=0, le=1)
    trial_items: int | None = Field(None, ge=2)
    test_items: int | None = Field(None, ge=2)
    samples: int = Field(ge=2)
    seeds: int = Field(1, ge=1)
    bound: Bound = Bound()


class Entry(Frozen):
    """One entry under `experiments:`. `steps` maps a budget to the steps of the only phase, or of each phase.

    `seeds`: how often it is trained, instead of the budget's number; or a number for some budgets. The first is the
    model, the others its spread.
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
    """What every stage that computes is run with; all of it is part of the result."""

    seed: int = Field(ge=0)
    threads: int = Field(ge=1, le=1024)
    device: str = Field("auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")
    precision: Literal["float32", "tf32", "bf16"] = "float32"
    arithmetic: Literal["native", "portable"] = "native"


class Params(Run):
    """The whole of params.yaml."""

    budget: str
    budgets: dict[str, Budget]
    datasets: dict[str, Dataset]
    judges: dict[str, Judge] = {}
    tasks: dict[str, Task]
    experiments: dict[str, Entry]
    max_minutes: dict[str, Annotated[float, Field(gt=0)]] = {}
