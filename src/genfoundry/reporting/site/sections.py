"""The figures of a model's page that are no columns of the leaderboard, by what they are about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genfoundry.reporting import leaderboard

if TYPE_CHECKING:
    from genfoundry.reporting.site.model import Measured

ABOUT = {  # ability -> what a page calls its figures
    "rate": "rate and distortion",
    "tighten": "importance-weighted bound",
    "units": "active units",
    "discrete": "perplexity",
    "probe": "linear probe",
    "reconstruct": "reconstruction",
    "restore": "restoration",
    "complete": "completion",
    "predict": "likelihood of a completion",
    "continue": "likelihood of a continuation",
    "stream": "likelihood with the state carried",
    "edit": "edits",
    "surprise": "surprise at what is no item",
    "classes": "surprise at classes left out",
}
SURPRISE = ("surprise", "classes")
TITLES = (
    ("codes", "Bounds and codes", ("rate", "tighten", "units", "discrete", "probe")),
    (
        "restoration",
        "Reconstruction, restoration and completion, beside classical methods",
        ("reconstruct", "restore", "complete", "predict"),
    ),
    ("edits", "Edits in code space", ("edit",)),
    ("anomalies", "Does it find its data likelier than what is none?", SURPRISE),
)


@dataclass(frozen=True)
class Section:
    """Figures under one head; `notes` say what they rest on."""

    key: str
    title: str
    rows: Sequence[Measured]
    notes: Sequence[str]


def sections(rows: Sequence[Measured], test: Mapping[str, float]) -> Iterator[Section]:
    """Those that have a figure."""
    for key, title, needs in TITLES:
        found = [row for row in rows if row.figure.needs in needs and row.value is not None]
        if found:
            yield Section(key, title, found, list(_notes(key, found, test)))


def failing(row: Measured) -> bool:
    """Whether a figure says that the model prefers what is no item of its data."""
    return row.figure.needs in SURPRISE and row.value is not None and row.value < 0.5


def _notes(key: str, rows: Sequence[Measured], test: Mapping[str, float]) -> Iterator[str]:
    if key == "codes" and "iw_k" in test:
        yield (
            f"IW: the importance-weighted bound of k = {test['iw_k']:g} draws (Burda et al. 2016), the gap measured on "
            f"{test['iw_n']:g} items of test."
        )
    if key == "restoration" and any(row.figure.needs == "restore" for row in rows):
        yield "The items that are restored are damaged alike for every method."
    if key == "edits":
        yield (
            "The difference of two classes' mean codes is added to an item's code, at strength 1. Moved values and the "
            "nearest training item of the class asked for stand beside."
        )
    if key == "anomalies":
        yield (
            "0.5 is chance. A raw likelihood is high for simple images whatever they show (Nalisnick et al. 2019); the "
            "corrected one takes off what the shortest lossless file of the image takes (Serra et al. 2020)."
        )
        if failed := [row.figure.title.removeprefix("AUROC, ") for row in rows if failing(row)]:
            yield f"Here the model prefers what is no item: {'; '.join(failed)}."


def lacking(rows: Sequence[Measured]) -> list[tuple[str, str]]:
    """What is not there at all, and why."""
    there = {row.figure.needs for row in rows if row.value is not None}
    found: dict[str, str] = {}
    for row in rows:
        need = row.figure.needs
        if need not in leaderboard.TABLED and need not in there:
            found.setdefault(ABOUT[need], row.absent)
    return list(found.items())
