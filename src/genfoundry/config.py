"""Schemas of params.yaml: frozen, and a key that is not known is an error. No dict passes below `experiment.py`."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from genfoundry.types import UserError

Steps = int | dict[str, int]
Count = Annotated[int, Field(ge=1)]
Scalar = bool | int | float | str
M = TypeVar("M", bound=BaseModel)


class Frozen(BaseModel):
    """Frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class File(Frozen):
    """A raw file: one checksum and the places it can be had from, tried in order."""

    name: str
    sha256: str
    places: tuple[str, ...]


class Files(Frozen):
    """Raw files of the user's own, each with a checksum."""

    files: tuple[File, ...]


class Folder(Frozen):
    """A file or folder of the user's own, taken as it is."""

    path: str


class Duplicates(Frozen):
    """Equal samples allowed across splits, counted among samples of at least `longer` values."""

    across: int = 0
    longer: int = 0


class Expect(Frozen):
    """What `validate` holds the prepared data to; a rule that is None is not checked."""

    rows: dict[str, tuple[int, int]] = {}
    values: tuple[float, float] | None = None
    labels: int | None = None
    balance: float | None = None
    constant: int | None = None
    duplicates: Duplicates | None = None
    length: tuple[int, int] | None = None
    unknown: int = Field(0, ge=0, le=0)  # a character outside the alphabet has no code that a model could learn
    order: bool = False
    gap: float | None = None
    filled: int | None = None
    finite: bool = True


class Shares(Frozen):
    """Shares of the items that go to `val`, `gate` and, where the source publishes no test split, `test`."""

    val: float = Field(0.05, gt=0, lt=1)
    gate: float = Field(0.05, gt=0, lt=1)
    test: float = Field(0.1, gt=0, lt=1)


class Judge(Frozen):
    """The classifier whose features the sample metrics use: a model, its settings, its steps a budget."""

    model: str
    steps: dict[str, int]
    hyper: dict[str, Any] = {}
    train: dict[str, Any] = {}


class Patch(Frozen):
    """Square patches `stride` pixels apart, cut inside regions of `region` pixels or more; a region, one split."""

    size: int = Field(ge=4)
    stride: int = Field(ge=1)
    region: int

    @model_validator(mode="after")
    def _fits(self) -> Patch:
        if self.region < self.size:
            raise ValueError(f"a region of {self.region} is smaller than a patch of {self.size}")
        return self


class Dataset(Frozen):
    """One entry under `datasets:`.

    Images: `size` (H, W) resizes and crops, `colour` converts, `patch` cuts, `flip` mirrors at random in training,
    `levels` is how many grey values the files have. Text, and lines (of text, one a sample): `alphabet`; `unit` is what
    goes to a split as a whole. Series: `missing` says what becomes of a cell without a value, `step` the time between
    rows (in days or seconds where times are dates). Pairs: `alphabet`. `window` is the length of a sample (of a line,
    and of a pair's target: with the end symbol), `context` that of what stands before it (of a pair: of its source).
    """

    modality: Literal["images", "text", "lines", "series", "pairs"]
    raw: str | Files | Folder
    split: Shares = Shares()
    size: tuple[int, int] | None = None
    colour: Literal["grey", "rgb"] | None = None
    patch: Patch | None = None
    flip: bool = False
    levels: int = Field(256, ge=2, le=256)
    alphabet: str = ""
    unit: Literal["document", "paragraph", "line"] = "document"
    window: int = Field(1, ge=1)
    context: int = Field(0, ge=0)
    missing: Literal["error", "interpolate", "forward", "drop"] = "error"
    step: float | Literal["month"] | None = None
    expect: Expect = Expect()
    judge: Judge | None = None

    @field_validator("size", mode="before")
    @classmethod
    def _square(cls, value: object) -> object:
        sides = [value, value] if isinstance(value, int) else value
        whole = isinstance(sides, list | tuple) and all(isinstance(side, int) and side >= 4 for side in sides)
        if sides is not None and not (whole and len(sides) == 2):  # type: ignore[arg-type]
            raise ValueError("a number of pixels, 4 or more, or [height, width], is right")
        return tuple(sides) if isinstance(sides, list | tuple) else None

    @field_validator("step")
    @classmethod
    def _forward(cls, value: float | str | None) -> float | str | None:
        if isinstance(value, float) and value <= 0:
            raise ValueError("a step in time is above 0")
        return value


class Task(Frozen):
    """A data set with its levels, binarisation and number of labels, and what models of it are ranked by."""

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
    whether they surprise the model.
    """

    levels: int | None = Field(None, ge=2)
    binarise: Literal["dynamic", "threshold"] | None = None
    labels: int | None = Field(None, ge=1)
    labelled: float | None = Field(None, gt=0, le=1)
    without: tuple[Annotated[int, Field(ge=0)], ...] = ()


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
    precision: Literal["float32", "bf16"] = "float32"


class Bound(Frozen):
    """The importance-weighted bound of test items: its draws `k`, and how many items."""

    k: int = Field(64, ge=1)
    items: int = Field(200, ge=2)


class Budget(Frozen):
    """Numbers, never seconds: trials a study, the share of the steps that a trial trains, samples, training seeds."""

    trials: int = Field(ge=0)
    trial_share: float = Field(gt=0, le=1)
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


class Params(Frozen):
    """The whole of params.yaml."""

    seed: int = Field(ge=0)
    threads: int = Field(ge=1)
    device: str = Field("auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")
    precision: Literal["float32", "bf16"] = "float32"
    arithmetic: Literal["native", "portable"] = "native"
    budget: str
    budgets: dict[str, Budget]
    datasets: dict[str, Dataset]
    tasks: dict[str, Task]
    experiments: dict[str, Entry]
    max_minutes: dict[str, Annotated[float, Field(gt=0)]] = {}


def check(model: type[M], value: object, where: str, source: str = "params.yaml") -> M:
    """`value` as a `model`; a UserError names every wrong key, its value and what is allowed.

    JSON strict mode takes a list for a tuple and 1 for 1.0, but not the string that PyYAML makes of 1e-4.
    """
    try:
        return model.model_validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        lines = [_line(model, e["type"], e["loc"], e.get("input"), e["msg"], where) for e in error.errors()]
        raise UserError(f"{source}: " + f"\n{source}: ".join(lines)) from None
    except TypeError as error:
        raise UserError(f"{source}: {where}: {error}; numbers, strings, lists and mappings are allowed") from None


def _line(model: type[BaseModel], kind: str, loc: tuple[int | str, ...], got: object, message: str, where: str) -> str:
    key = ".".join(filter(None, (where, *map(str, loc))))
    if kind == "extra_forbidden":
        return f"{key}: unknown key; {alternatives(str(loc[-1]), _keys(model, loc[:-1]))}"
    if kind == "missing":
        return f"{key}: missing; required are {', '.join(sorted(_keys(model, loc[:-1], required=True)))}"
    hint = "; write 1.0e-4, since YAML 1.1 reads 1e-4 as a string" if isinstance(got, str) and _number(got) else ""
    return f"{key}: {got!r}: {message.removeprefix('Value error, ')}{hint}"


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _keys(model: type[BaseModel], loc: tuple[int | str, ...], required: bool = False) -> list[str]:
    """The field names of the schema at `loc`; mappings and unions are looked through."""
    kind: Any = model
    for part in loc:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = kind.model_fields[part].annotation if part in kind.model_fields else kind
        else:
            inner = [a for a in get_args(kind) if getattr(a, "__name__", "") == part]
            kind = inner[0] if inner else (get_args(kind) or (kind,))[-1]
    nested = [k for k in (kind, *get_args(kind)) if isinstance(k, type) and issubclass(k, BaseModel)]
    return [n for k in nested[:1] for n, f in k.model_fields.items() if f.is_required() or not required]


def alternatives(name: str, allowed: list[str]) -> str:
    """'did you mean X? allowed: ...' for an unknown name."""
    close = difflib.get_close_matches(name, allowed, n=1)
    return (f"did you mean {close[0]!r}? " if close else "") + "allowed: " + (", ".join(sorted(allowed)) or "none")


def read(path: Path) -> Params:
    """params.yaml, checked against the schemas and for references between its parts.

    Raises:
        UserError: not there, not YAML, or a key, type or name is wrong; one line a fault.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; run from the folder that holds it") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, Mapping):
        raise UserError(f"{path}: a mapping is expected at the top, not {type(raw).__name__}")
    params = check(Params, raw, "", path.name)
    faults = list(_references(params))
    if faults:
        raise UserError("\n".join(f"{path.name}: {fault}" for fault in faults))
    return params


ONLY: dict[str, tuple[str, ...]] = dict.fromkeys(("size", "colour", "patch", "flip", "levels", "judge"), ("images",))
ONLY |= {"alphabet": ("text", "lines", "pairs"), "unit": ("text", "lines")}
ONLY |= {"missing": ("series",), "step": ("series",)}
ONLY |= {"window": ("text", "lines", "series", "pairs"), "context": ("series", "pairs")}


def _declared(where: str, dataset: Dataset) -> Iterator[str]:
    """Keys of a data set that are for another modality, and those that its own needs."""
    for key in sorted(dataset.model_fields_set & ONLY.keys()):
        if dataset.modality not in ONLY[key]:
            yield f"{where}.{key}: for {' and '.join(ONLY[key])} only; this data set's modality is {dataset.modality}"
    if dataset.modality in ONLY["alphabet"] and not dataset.alphabet:
        yield f"{where}.alphabet: missing; {dataset.modality} needs the characters that it may hold"
    if dataset.modality == "lines" and dataset.alphabet and dataset.alphabet[0] != "\n":
        yield f"{where}.alphabet: begins with {dataset.alphabet[0]!r}; lines need the newline, their end, as its first"
    if dataset.modality == "lines" and dataset.window < 2:
        yield f"{where}.window: {dataset.window}; lines need room for a character and the end, 2 or more"
    if dataset.modality == "pairs" and not dataset.context:
        yield f"{where}.context: missing; pairs need the length of the longest source, and window that of a target"
    if dataset.size and dataset.patch:
        yield f"{where}.patch: not with size; patches are cut from the pictures as they are"
    if dataset.size and dataset.levels < 256:
        yield f"{where}.levels: {dataset.levels}, but with a size images have 256; a task may ask for fewer"
    if dataset.step is not None and dataset.missing == "drop":
        yield f"{where}.missing: 'drop', but with a step missing rows are filled in; interpolate or forward are right"


def _binarised(where: str, task: Task, dataset: Dataset) -> Iterator[str]:
    """Binarisation goes with 2 levels, and is stated: a figure without it could not be compared."""
    if task.binarise and task.levels != 2:
        yield f"{where}.binarise: {task.binarise!r}, but levels is {task.levels}; levels: 2 is right"
    if task.levels == 2 and dataset.levels > 2 and not task.binarise:
        yield f"{where}.binarise: missing; levels: 2 wants dynamic or threshold"


def _labelled(where: str, entry: Entry, dataset: Dataset | None) -> Iterator[str]:
    """Few labels are for images with classes; how many items have them is known once they are prepared."""
    data = entry.data
    if data.labelled is not None and data.labels is None:
        yield f"{where}.data.labelled: {data.labelled}, but data.labels is not set; a number of labels goes with it"
    if data.without and dataset is not None and dataset.modality != "images":
        yield f"{where}.data.without: for images only; this data set's modality is {dataset.modality}"
    if data.labels is None or dataset is None:
        return
    if dataset.modality != "images":
        yield f"{where}.data.labels: for images only; this data set's modality is {dataset.modality}"
    if dataset.expect.labels and data.labels < dataset.expect.labels:
        yield f"{where}.data.labels: {data.labels}, but there are {dataset.expect.labels} classes; as many or more"


def _references(p: Params) -> list[str]:
    faults = []

    def known(key: str, name: str, names: Mapping[str, object]) -> bool:
        if name not in names:
            faults.append(f"{key}: {name!r} is not known; {alternatives(name, list(names))}")
        return name in names

    if not known("budget", p.budget, p.budgets):
        return faults
    if p.arithmetic == "portable":
        limits = (("device", p.device, ("auto", "cpu")), ("precision", p.precision, ("float32",)))
        faults += [
            f"{key}: {value!r}: arithmetic: portable takes {' or '.join(allowed)}"
            for key, value, allowed in limits
            if value not in allowed
        ]
    for name, dataset in p.datasets.items():
        if dataset.judge is not None:
            known(f"datasets.{name}.judge.steps (for budget {p.budget})", p.budget, dataset.judge.steps)
        faults += _declared(f"datasets.{name}", dataset)
    for name, task in p.tasks.items():
        if known(f"tasks.{name}.dataset", task.dataset, p.datasets):
            faults += _binarised(f"tasks.{name}", task, p.datasets[task.dataset])
    for name in p.max_minutes:
        known("max_minutes", name, p.experiments)
    for name, entry in p.experiments.items():
        where = f"experiments.{name}"
        if known(f"{where}.task", entry.task, p.tasks):
            home = p.tasks[entry.task]
            faults += _labelled(where, entry, p.datasets.get(entry.dataset))
            for key, here, there in (
                ("dataset", entry.dataset, home.dataset),
                ("data.levels", entry.data.levels, home.levels),
                ("data.binarise", entry.data.binarise, home.binarise),
                ("data.labels", entry.data.labels, home.labels),
            ):
                if here != there:
                    faults.append(f"{where}.{key}: {here!r}, but its task {entry.task} has {there!r}; make them equal")
        if isinstance(entry.seeds, dict):
            for budget in entry.seeds:
                known(f"{where}.seeds", budget, p.budgets)
        if entry.steps:
            known(f"{where}.steps (for budget {p.budget})", p.budget, entry.steps)
    return faults
