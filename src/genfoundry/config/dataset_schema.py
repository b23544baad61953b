"""Schemas of `datasets:`: where raw data come from, what is made of them, what they must be."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from genfoundry.config.strict import Frozen

ClassRule = Literal["parent", "top", "none"]  # the folder that names a picture's class
LabelColumn = Literal["first", "last"]  # of a CSV of grey values


def find_modalities() -> list[str]:
    """Names of the modalities: those with a file of their own in both `data/modalities` and `data/splits`."""
    data = Path(__file__).parents[1] / "data"
    readers, splits = ({path.stem for path in (data / name).glob("[a-z]*.py")} for name in ("modalities", "splits"))
    return sorted(readers & splits)


def _check_modality(name: str) -> str:
    if name not in find_modalities():
        raise ValueError(f"expected one of {', '.join(find_modalities())}")
    return name


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
    absent: int | None = None
    finite: bool = True

    @model_validator(mode="after")
    def _ascending(self) -> Expect:
        ranges = {"values": self.values, "length": self.length} | {f"rows.{k}": v for k, v in self.rows.items()}
        for key, pair in ranges.items():
            if pair is not None and pair[0] > pair[1]:
                raise ValueError(f"{key}: the first of {list(pair)} is above the second; the lowest comes first")
        return self


class Shares(Frozen):
    """Shares of the items that go to `val`, `gate` and, where the source publishes no test split, `test`.

    Where items are no units of their own (windows of a play, patches of a region, slices of a volume), shares of the
    units, of which each gets 5 or more where there are 20. `few_groups` allows a split of one, whose figures have no
    interval.
    """

    val: float = Field(0.05, gt=0, lt=1)
    gate: float = Field(0.05, gt=0, lt=1)
    test: float = Field(0.1, gt=0, lt=1)
    few_groups: bool = False

    @model_validator(mode="after")
    def _leave_train(self) -> Shares:
        taken = self.val + self.gate + (self.test if "test" in self.model_fields_set else 0)
        if taken >= 1:
            raise ValueError(f"shares of {taken:.3g} in all leave nothing to train on; less than 1 is right")
        return self


class Judge(Frozen):
    """A data set's feature network: a classifier whose features the sample metrics use, its steps a budget."""

    model: str
    steps: dict[str, Annotated[int, Field(ge=0)]]
    hyper: dict[str, Any] = {}
    train: dict[str, Any] = {}


class Patch(Frozen):
    """Square patches `stride` pixels apart, cut inside regions of `region` pixels or more; a region, one split.

    A held-out split takes those patches alone that do not overlap.
    """

    size: int = Field(ge=4)
    stride: int = Field(ge=1)
    region: int

    @model_validator(mode="after")
    def _fits(self) -> Patch:
        if self.region < self.size:
            raise ValueError(f"a region of {self.region} is smaller than a patch of {self.size}")
        return self


class Slices(Frozen):
    """Slices of NIfTI volumes: of one body by `block` (with `gap` slices of each left out before the next), else by
    `volume` to a split as a whole; at least a share `lit` of a slice is above a tenth of white. `missing`: voxels
    without a value (NaN) are refused, or dark as the `background`.
    """

    by: Literal["volume", "block"] = "volume"
    block: int = Field(16, ge=1)
    gap: int = Field(4, ge=0)
    lit: float = Field(0.05, ge=0, le=1)
    missing: Literal["error", "background"] = "error"

    @model_validator(mode="after")
    def _fits(self) -> Slices:
        if self.gap >= self.block:
            raise ValueError(f"a gap of {self.gap} leaves nothing of a block of {self.block} slices")
        return self


class Videos(Frozen):
    """How many videos are made for each split."""

    train: int = Field(4000, ge=1)
    val: int = Field(200, ge=1)
    gate: int = Field(200, ge=1)
    test: int = Field(200, ge=1)


class Moving(Frozen):
    """Videos made of images: so many `items` bounce about, each `item` pixels a side, `speed` pixels a frame at most.

    Grey values of `threshold` and above are white, others black.
    """

    items: int = Field(2, ge=1)
    item: int = Field(14, ge=2)
    threshold: int = Field(64, ge=1, le=255)
    speed: int = Field(3, ge=1)
    videos: Videos = Videos()


class Align(Frozen):
    """Files of texts in two editions, told apart by how their names end; a pair is a line of one and its like.

    `least`: how alike two lines must be (`data.editions`), of 1.
    """

    source: str = Field(min_length=1)
    target: str = Field(min_length=1)
    least: float = Field(0.8, gt=0, le=1)


class Dataset(Frozen):
    """One entry under `datasets:`.

    Images: `size` (H, W) resizes and crops, `colour` converts, `patch` cuts, `slices` is how volumes are cut, `flip`
    mirrors at random in training, `levels` is how many grey values the files have; a picture's class is the folder that
    it is in (`classes: parent`), the topmost one below the root or a split folder (`top`), or there is none (`none`;
    not set: as the folders themselves tell); a row's label in a CSV of grey values is its `label: first` or `last`.
    Text, and lines (of text, one a sample): `alphabet`; `unit` is what goes to a split as a whole. Series: `columns`
    are those that are taken (default: all), `missing` says what becomes of a cell without a value (`keep`: it stays
    missing, NaN), `step` the time between rows (in days or seconds where times are dates), `season` the rows after
    which it repeats itself (0: looked for), `numbered` gives models the number of each row of the past as a column
    more. Pairs: `alphabet`; `header` says whether the first line of a TSV names the columns; `align` for two editions
    of texts instead of TSV. Video: `moving` says how it is made of the raw images, `size` is a frame's. `window` is the
    length of a sample (of a line, and of a pair's target: with the end symbol), `context` that of what stands before it
    (of a pair: of its source).
    """

    modality: Annotated[str, AfterValidator(_check_modality)]
    raw: str | Files | Folder
    split: Shares = Shares()
    size: tuple[int, int] | None = None
    colour: Literal["grey", "rgb"] | None = None
    patch: Patch | None = None
    slices: Slices = Slices()
    classes: ClassRule | None = None
    label: LabelColumn | None = None
    moving: Moving | None = None
    flip: bool = False
    levels: int = Field(256, ge=2, le=256)
    alphabet: str = ""
    unit: Literal["document", "paragraph", "line"] = "document"
    window: int = Field(1, ge=1)
    context: int = Field(0, ge=0)
    columns: tuple[str, ...] = ()
    missing: Literal["error", "interpolate", "forward", "drop", "keep"] = "error"
    step: float | Literal["month"] | None = None
    season: int = Field(0, ge=0)
    numbered: bool = False
    expect: Expect = Expect()
    align: Align | None = None
    header: bool | None = None

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
