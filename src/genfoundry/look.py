"""What a file or folder of the user's own holds, and the data set entry that reads it: `make init` begins here."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from genfoundry.data import arrays, pairs, pictures, table, text
from genfoundry.data.base import files
from genfoundry.data.progress import told
from genfoundry.types import UserError

LARGEST = 64  # height and width: what a model of this project learns on two cores in minutes
READ = {
    "images": (*pictures.SUFFIXES, ".npz", "-ubyte", "-ubyte.gz"),
    "text": (".txt",),
    "series": (".csv", ".csv.gz"),
    "pairs": (".tsv",),
}


@dataclass(frozen=True)
class Seen:
    """The keys of the entry that follow from the files, less `raw`; and what was seen and chosen, in words."""

    entry: dict[str, Any]
    said: list[str]


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
    finders: dict[str, Callable[[Path, list[Path]], Seen]] = {
        "images": _images, "text": _text, "series": _series, "pairs": _pairs
    }  # fmt: skip
    seen = finders[kind](folder, found[kind])
    others = [path for other, paths in found.items() if other != kind for path in paths]
    ignored = [f"left out: {len(others)} files of another kind, e.g. {others[0].name}"] if others else []
    return Seen({"modality": kind, **seen.entry}, seen.said + ignored)


def _shares(items: int) -> dict[str, float]:
    """Few items need larger shares for figures that mean something."""
    if items < 2000:
        return {"val": 0.15, "gate": 0.15, "test": 0.2}
    return {"val": 0.1, "gate": 0.1, "test": 0.2} if items < 20000 else {"val": 0.05, "gate": 0.05, "test": 0.1}


def _is_grey(path: Path) -> bool:
    """Whether a CSV holds square images, a row each, the label last: no header, and enough columns."""
    first = (arrays.content(path).split(b"\n", 1)[0]).decode("utf-8", "replace").split(",")
    side = math.isqrt(max(len(first) - 1, 0))
    return side >= 4 and side * side == len(first) - 1 and all(c.strip().replace(".", "").isdigit() for c in first)


def _images(folder: Path, paths: list[Path]) -> Seen:
    if all(path.name.lower().endswith(pictures.SUFFIXES) for path in paths):
        return _pictures(paths)
    parts = [part for part in arrays.parts(folder) if len(part.x)]
    if not parts:
        raise UserError(f"{folder}: no images in {paths[0].name}")
    shapes = Counter(part.x.shape[1:] for part in parts)
    top = max(int(part.x.max()) for part in parts)
    number = sum(len(part.x) for part in parts)
    said = [f"{number} images of {' or '.join(str(s) for s in shapes)} (C, H, W), values 0 to {top}"]
    entry: dict[str, Any] = {"split": _shares(number)}
    sides = [side for shape in shapes for side in shape[1:]]
    if len({shape[1:] for shape in shapes}) > 1 or max(sides) > LARGEST:
        entry["size"] = min(LARGEST, min(sides))
        said.append(f"size: {entry['size']}, as they differ or are larger than what trains in minutes")
    elif top < 64:
        entry["levels"] = top + 1
    if len({shape[0] for shape in shapes}) > 1:
        entry["colour"] = "rgb"
    if any(part.test for part in parts):
        said.append("the published test split is kept; the rest is spread over train, val and gate")
    return Seen(entry, said)


def _pictures(paths: list[Path]) -> Seen:
    kinds = [pictures.kind(path) for path in told(paths, len(paths), "looking at images")]
    sizes = Counter(size for size, _, _ in kinds)
    colours = Counter(colour for _, colour, _ in kinds)
    sides = [min(size) for size in sizes.elements()]
    said = [f"{len(paths)} images, {min(sides)} to {max(sides)} pixels at the shorter side, "
            + " and ".join(f"{count} {colour}" for colour, count in sorted(colours.items()))]  # fmt: skip
    entry: dict[str, Any] = {"split": _shares(len(paths))}
    if len(sizes) > 1 or max(max(size) for size in sizes) > LARGEST:
        entry["size"] = max(8, min(LARGEST, int(median(sides)) // 8 * 8))
        said.append(f"size: {entry['size']}: the shorter side is resized to it, the centre cut out")
    entry["colour"] = "rgb" if "rgb" in colours and not _colourless(paths) else "grey"
    said.append(f"colour: {entry['colour']}; add `flip: true` if an image and its mirror image are as likely")
    return Seen(entry, said)


def _colourless(paths: list[Path], most: int = 64) -> bool:
    """Whether some of the files, evenly chosen, are grey although they have three channels."""
    some = paths[:: max(1, len(paths) // most)]
    return all((x == x[:1]).all() for x in map(pictures.picture, some))


def _text(folder: Path, paths: list[Path]) -> Seen:
    documents = [content for _, content in text.read(folder)]
    lengths = [len(document) for document in documents]
    total = sum(lengths)
    units = {unit: sum(len(text.cut(d, unit)) for d in documents) for unit in ("document", "paragraph", "line")}
    enough = {"document": units["document"] >= 20 and max(lengths) < 0.3 * total, "paragraph": units["paragraph"] >= 60}
    unit = next((name for name in ("document", "paragraph") if enough[name]), "line")
    alphabet = _alphabet(Counter(c for document in documents for c in document), folder, text.UNKNOWN)
    window = 128 if total >= 200_000 else 64 if total >= 20_000 else 32
    said = [f"{len(documents)} documents, {total} characters, {len(alphabet)} different ones",
            f"unit: {unit}: {units[unit]} of them are spread over the splits; window: {window} characters"]  # fmt: skip
    more = {} if unit == "document" else {"unit": unit}
    return Seen({"split": _shares(units[unit]), **more, "window": window, "alphabet": alphabet}, said)


def _alphabet(counts: Counter[str], where: Path, most: int) -> str:
    if len(counts) > most:
        rare = "".join(character for character, _ in counts.most_common()[: most - 1 : -1])[:20]
        raise UserError(
            f"{where}: {len(counts)} different characters, but up to {most}; replace rare ones such as {rare!r}"
        )
    return "".join(sorted(counts))


def _pairs(folder: Path, paths: list[Path]) -> Seen:
    found = [pair for path in paths for _, pair in pairs.parse(path)]
    if not found:
        raise UserError(f"{folder}: no pairs in {paths[0].name}")
    source, target = (max(len(pair[side]) for pair in found) for side in (0, 1))
    alphabet = _alphabet(Counter(c for pair in found for c in "".join(pair)), folder, text.UNKNOWN - 1)
    room = {"window": -(-(target + 1) // 16) * 16, "context": -(-source // 16) * 16}
    said = [f"{len(found)} pairs, sources up to {source} and targets up to {target} characters, "
            f"{len(alphabet)} different ones", f"window: {room['window']}, context: {room['context']}"]  # fmt: skip
    return Seen({"split": _shares(len({source for source, _ in found})), **room, "alphabet": alphabet}, said)


def _series(folder: Path, paths: list[Path]) -> Seen:
    one = table.read(paths[0])
    months = None if one.clock != "days" else _months(paths[0], one)
    one, times = months or one, (months or one).rows[:, 0]
    steps = np.diff(times)
    if len(steps) and steps.min() <= 0:
        line = one.lines[np.argmin(steps > 0) + 1]
        raise UserError(f"{paths[0]}:{line}: column {one.head[0]}: times must grow, each once; sort the rows")
    holes = int(np.isnan(one.rows[:, 1:]).sum())
    entry: dict[str, Any] = {"split": {"val": 0.15, "gate": 0.15, "test": 0.2}}
    size = len(one.rows)
    said = [f"a series of {size} rows and {len(one.names)} columns of values: {', '.join(one.names)}"]
    least = float(steps.min()) if len(steps) else 1.0
    absent = round((times[-1] - times[0]) / least) + 1 - size
    regular = bool(np.allclose(steps / least, np.rint(steps / least), atol=1e-6))
    if regular and 0 < absent <= size / 4:
        entry["step"] = "month" if months else _number(least)
        said.append(f"step: {entry['step']}: {absent} rows that are not there are put in")
    if holes or "step" in entry:
        entry["missing"] = "forward"
        said.append(f"missing: forward: {holes} empty cells get the value before them; validation counts them")
    entry |= {"window": max(1, min(24, size // 60)), "context": max(2, min(168, size // 12))}
    said.append(f"window: {entry['window']} steps are forecast from the context: {entry['context']} before them")
    return Seen(entry, said)


def _months(path: Path, days: table.Table) -> table.Table | None:
    """The table with times in months, where its dates are a month apart."""
    steps = np.diff(days.rows[:, 0])
    if not len(steps) or not 28 <= np.median(steps) <= 31:
        return None
    months = table.read(path, "months")
    return months if (np.diff(months.rows[:, 0]) > 0).all() else None


def _number(value: float) -> float | int:
    return int(value) if value == int(value) else float(f"{value:.6g}")
