"""What a file or folder of the user's own holds, and the data set entry that reads it: `make init` begins here."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from genfoundry.data import arrays, pictures
from genfoundry.data.base import files
from genfoundry.data.volumes import VOLUMES
from genfoundry.look import images, series, text, volumes
from genfoundry.look.seen import Seen
from genfoundry.types import UserError

READ = {
    "images": (*pictures.SUFFIXES, ".npz", "-ubyte", "-ubyte.gz"),
    "volumes": VOLUMES,
    "text": (".txt",),
    "series": (".csv", ".csv.gz"),
    "pairs": (".tsv",),
}
FINDERS: dict[str, Callable[[Path, list[Path]], Seen]] = {
    "images": images.look,
    "volumes": volumes.look,
    "text": text.text,
    "series": series.look,
    "pairs": text.pairs,
}


def look(folder: Path) -> Seen:
    """Decide the modality by the kind that most files are of, and what reads them.

    Raises:
        UserError: nothing that is read, or files that cannot be.
    """
    found = {kind: paths for kind, suffixes in READ.items() if (paths := files(folder, *suffixes))}
    if not found:
        known = ", ".join(suffix for suffixes in READ.values() for suffix in suffixes)
        raise UserError(f"{folder}: no file of a kind that is read; {known} are")
    kind = max(found, key=lambda k: len(found[k]))
    if kind == "series" and _is_grey(found[kind][0]):
        kind, found = "images", {"images": found[kind]}
    seen = FINDERS[kind](folder, found[kind])
    others = [path for other, paths in found.items() if other != kind for path in paths]
    ignored = [f"left out: {len(others)} files of another kind, e.g. {others[0].name}"] if others else []
    return Seen({"modality": kind, **seen.entry}, seen.said + ignored)


def _is_grey(path: Path) -> bool:
    """Whether a CSV holds square images, a row each, the label last: no header, and enough columns."""
    first = (arrays.content(path).split(b"\n", 1)[0]).decode("utf-8", "replace").split(",")
    side = math.isqrt(max(len(first) - 1, 0))
    return side >= 4 and side * side == len(first) - 1 and all(c.strip().replace(".", "").isdigit() for c in first)
