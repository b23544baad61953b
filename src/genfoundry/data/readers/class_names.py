"""Names of the classes of data sets that are fetched by a name of their own: part of what `prepare` writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genfoundry import config

NAMES = {
    "fashion": ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"),
    "digits": tuple("0123456789"),
}


def names_of(dataset: config.Dataset) -> tuple[str, ...]:
    """The names of the classes of a data set that is fetched by its name; () if none are known."""
    return NAMES.get(dataset.raw, ()) if isinstance(dataset.raw, str) else ()
