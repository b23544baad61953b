"""Schemas of `datasets:`: where raw data come from, how they are prepared, what is expected of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from genfoundry.config.strict import Frozen

ClassRule = Literal["parent", "top", "none"]  # the folder that names a picture's class
LabelColumn = Literal["first", "last"]  # of a CSV of grey values
Share = Annotated[float, Field(gt=0, lt=1)]
AtLeastOne = Annotated[int, Field(ge=1)]


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
    """A raw file: its checksum and the places it can be had from, tried in order."""

    name: str
    sha256: str
    places: tuple[str, ...]


class Files(Frozen):
    """Raw files of the user's own, each with a checksum."""

    files: tuple[File, ...]


class Folder(Frozen):
    """A file or folder of the user's own, without a checksum."""

    path: str


class Duplicates(Frozen):
    """Equal samples allowed across splits, counted among samples of at least `longer` values."""

    across: int = 0
    longer: int = 0


class Expect(Frozen):
    """Expectations that `validate` checks on the prepared data; None: not checked."""

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
    def _check_ranges(self) -> Expect:
        ranges = {"values": self.values, "length": self.length} | {f"rows.{k}": v for k, v in self.rows.items()}
        for key, pair in ranges.items():
            if pair is not None and pair[0] > pair[1]:
                raise ValueError(f"{key}: expected [lowest, highest], got {list(pair)}")
        return self


class Shares(Frozen):
    """Shares of the items that go to `val`, `gate` and, where the source publishes no test split, `test`.

    Where items depend on each other (windows of a play, patches of a region, slices of a volume), shares of the groups
    that they belong to, of which each split gets 5 or more where there are 20. `few_groups` allows a split of one
    group, whose metrics have no interval.
    """

    val: Share = 0.05
    gate: Share = 0.05
    test: Share = 0.1
    few_groups: bool = False

    @model_validator(mode="after")
    def _check_sum(self) -> Shares:
        total = self.val + self.gate + (self.test if "test" in self.model_fields_set else 0)
        if total >= 1:
            raise ValueError(f"expected shares below 1 in all, which leave something to train on, got {total:.3g}")
        return self


class Judge(Frozen):
    """A data set's feature network: a classifier whose features the sample metrics use; `steps` are by budget."""

    model: str
    steps: dict[str, Annotated[int, Field(ge=0)]]
    hyper: dict[str, Any] = {}
    train: dict[str, Any] = {}


class Patch(Frozen):
    """Square patches `stride` pixels apart, cut inside regions of `region` pixels or more; a region goes to one split.

    A held-out split takes those patches alone that do not overlap.
    """

    size: int = Field(ge=4)
    stride: AtLeastOne
    region: int

    @model_validator(mode="after")
    def _check_region(self) -> Patch:
        if self.region < self.size:
            raise ValueError(f"expected a region of {self.size} pixels or more, the size of a patch, got {self.region}")
        return self


class Slices(Frozen):
    """How NIfTI volumes are cut into slices.

    Attributes:
        by: what goes to one split: a `volume`, or, of one body, a `block` of slices.
        block: slices in a block.
        gap: slices left out before the next block.
        lit: the least share of a slice that is above a tenth of white.
        missing: voxels without a value (NaN) are an `error`, or as dark as the `background`.
    """

    by: Literal["volume", "block"] = "volume"
    block: AtLeastOne = 16
    gap: int = Field(4, ge=0)
    lit: float = Field(0.05, ge=0, le=1)
    missing: Literal["error", "background"] = "error"

    @model_validator(mode="after")
    def _check_gap(self) -> Slices:
        if self.gap >= self.block:
            raise ValueError(f"expected a gap below the {self.block} slices of a block, got {self.gap}")
        return self


class Videos(Frozen):
    """Number of videos that are made for each split."""

    train: AtLeastOne = 4000
    val: AtLeastOne = 200
    gate: AtLeastOne = 200
    test: AtLeastOne = 200


class Moving(Frozen):
    """Videos made of images: `items` images bounce about, `item` pixels a side, `speed` pixels a frame at most.

    Grey values of `threshold` and above are white, others black.
    """

    items: AtLeastOne = 2
    item: int = Field(14, ge=2)
    threshold: int = Field(64, ge=1, le=255)
    speed: AtLeastOne = 3
    videos: Videos = Videos()


class StackedImages(Frozen):
    """Number of images that are made for each split."""

    train: AtLeastOne = 20_000
    val: AtLeastOne = 1000
    gate: AtLeastOne = 1000
    test: AtLeastOne = 2000


class Stack(Frozen):
    """Images made of grey ones: `channels` of them, drawn at random, are the channels of one.

    Its class is that of all channels: their classes as the digits of a number, the first channel's the highest.
    """

    channels: int = Field(3, ge=2)
    images: StackedImages = StackedImages()


class Align(Frozen):
    """Texts in two editions, told apart by how their files' names end; a pair is a line of one and its like.

    `least`: how alike two lines must be (`readers.aligned_text`), of 1.
    """

    source: str = Field(min_length=1)
    target: str = Field(min_length=1)
    least: float = Field(0.8, gt=0, le=1)


class Dataset(Frozen):
    """One entry under `datasets:`.

    Attributes:
        modality: what one sample is.
        raw: the name of a published data set, or the user's own files.
        split: shares of the held-out splits.
        size: images: (H, W) to resize and crop to; video: a frame's.
        colour: images: what to convert to.
        patch: images: cut into patches.
        slices: images: how volumes are cut.
        classes: images: the folder that names the class: the one that a picture is in (`parent`), the topmost one below
            the root or a split folder (`top`), or `none`; not set: as the folders themselves tell.
        label: images: the column of a CSV of grey values that holds the label.
        metadata: images: the kind of file that names classes, and groups of variants: `emoji`, emoji-datasource's.
        stack: images: how images are made of the raw ones.
        moving: video: how it is made of the raw images.
        flip: images: mirrored at random in training.
        levels: images: how many grey values the files have.
        alphabet: text, lines, pairs: the characters.
        unit: text, lines: what goes to one split.
        window: length of a sample (of a line, and of a pair's target: with the end symbol).
        context: length of the condition before it (of a pair: of its source).
        columns: series: those that are taken; default: all.
        missing: series: what becomes of a cell without a value; `keep`: it stays missing, NaN.
        step: series: the time between rows, in days or seconds where times are dates.
        season: series: rows after which it repeats itself; 0: estimated.
        numbered: series: models also see the number of each row of the past.
        expect: what `validate` checks.
        align: pairs: two editions of texts instead of TSV.
        header: pairs: whether the first line of a TSV names the columns.
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
    metadata: Literal["emoji"] | None = None
    stack: Stack | None = None
    moving: Moving | None = None
    flip: bool = False
    levels: int = Field(256, ge=2, le=256)
    alphabet: str = ""
    unit: Literal["document", "paragraph", "line"] = "document"
    window: AtLeastOne = 1
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
    def _check_size(cls, value: object) -> object:
        sides = [value, value] if isinstance(value, int) else value
        integers = isinstance(sides, list | tuple) and all(isinstance(side, int) and side >= 4 for side in sides)
        if sides is not None and not (integers and len(sides) == 2):  # type: ignore[arg-type]
            raise ValueError("expected a number of pixels, 4 or more, or [height, width]")
        return tuple(sides) if isinstance(sides, list | tuple) else None

    @field_validator("step")
    @classmethod
    def _check_step(cls, value: float | str | None) -> float | str | None:
        if isinstance(value, float) and value <= 0:
            raise ValueError("expected a step in time above 0")
        return value
