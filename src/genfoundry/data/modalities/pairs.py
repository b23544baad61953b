"""Pairs of sentences, a line each: `source<TAB>target`; the target is the sample, the source its condition.

Or, with `align`, lines of two editions of a text (`data.editions`).

Both are characters of one alphabet of A; code A is the end. A target is followed by one end, which the model has to
learn, then by more of them up to `window`; a source by ends up to `context`. `Batch.mask` is true up to the first end
of the target, `Batch.cond_mask` on the source's characters: what is beyond counts nowhere.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from genfoundry import config
from genfoundry.data.alphabet import UNKNOWN, encode
from genfoundry.data.preparation import Arrays, Prepared
from genfoundry.data.readers import aligned_text, tsv
from genfoundry.data.readers.listing import files, only
from genfoundry.data.readers.tsv import Pair
from genfoundry.data.split_assignment import assign, assign_groups, numbered
from genfoundry.errors import UserError
from genfoundry.splits import SPLITS
from genfoundry.types import Spec

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Row:
    """A pair, the file that it comes from, what goes to a split as a whole with it, what was left out before it."""

    name: str
    pair: Pair
    unit: str
    dropped: int = 0


def prepare(raw: Path, inbox: Path, dataset: config.Dataset, seed: int) -> Prepared:
    """Lines -> codes a split, by a hash of the source: a source that was trained on is never tested.

    Of editions, a work goes to a split as a whole, by a hash of its pairs. Pairs of one source, or work, are a group.
    """
    kinds = (dataset.align.source, dataset.align.target) if dataset.align else (".tsv",)
    rows = read(raw, dataset)
    if not rows:
        wanted = "two editions of a text" if dataset.align else "a source, a tab and a target a line"
        raise UserError(f"{raw}: no pairs; {' and '.join(kinds)} files, {wanted}, are read")
    only(inbox, *kinds)
    if len(dataset.alphabet) >= UNKNOWN or len(set(dataset.alphabet)) < len(dataset.alphabet):
        raise UserError(f"alphabet: {len(dataset.alphabet)} characters; up to {UNKNOWN - 1} different ones are right")
    _many(raw, rows, dataset)
    names = (
        None if dataset.align else next((tsv.read(path, dataset.header).header for path in files(raw, ".tsv")), None)
    )
    count = len(rows)
    rows += new(rows, read(inbox, dataset, names), whole=dataset.align is not None)
    where, group = _splits(rows, count, dataset, seed)
    cond, before = codes([row.pair[0] for row in rows], dataset.alphabet, dataset.context)
    x, length = codes([row.pair[1] for row in rows], dataset.alphabet, dataset.window)
    columns = {"x": x, "length": length, "cond": cond, "cond_length": before} | group
    alphabet = np.array([ord(character) for character in dataset.alphabet], np.int32)
    splits = {split: {key: value[where == split] for key, value in columns.items()} | {"alphabet": alphabet}
              for split in SPLITS}  # fmt: skip
    levels = len(dataset.alphabet) + 1
    spec = Spec((dataset.window,), levels, cond_shape=(dataset.context,), cond_levels=levels)
    counts = {split: int((where == split).sum()) for split in SPLITS}
    described = describe([(row.name, row.pair) for row in rows], where, dataset.alphabet)
    if dataset.align:
        described["dropped"] = [row.dropped for row in rows]
    return Prepared(splits, spec, (), counts, described)


def _splits(rows: list[Row], count: int, dataset: config.Dataset, seed: int) -> tuple[np.ndarray, Arrays]:
    """The split of each pair (N,); and "group" (N,), its unit's number, where units of the raw folder have several."""
    digests = [hashlib.sha256(row.unit.encode()).digest() for row in rows]
    raw = set(digests[:count])  # the first `count` rows are the raw folder's
    if len(raw) == count:
        return np.array([assign(seed, digest, dataset, False) for digest in digests]), {}
    split_of = assign_groups(seed, raw, digests, dataset, False)
    return np.array([split_of[digest] for digest in digests]), {"group": numbered(digests)}


def _many(raw: Path, rows: list[Row], dataset: config.Dataset) -> None:
    """Refuse sources that are no texts or too few: pairs of one source go to one split."""
    units = len({row.unit for row in rows})
    if dataset.align is None and units < len(SPLITS):
        raise UserError(
            f"{raw}: {units} different sources in {len(rows)} pairs; pairs of one source go to one of four splits "
            "together, more sources are needed (is the first column the source?)"
        )
    for start in (0, 1):
        if dataset.align is None and all(row.pair[0] == str(i) for i, row in enumerate(rows, start)):
            raise UserError(f"{raw}: the first column numbers the lines; a source, a tab and a target a line are right")


def new(there: list[Row], brought: list[Row], *, whole: bool) -> list[Row]:
    """The rows that are not there yet: an inbox may bring again what is, a pair or a `whole` work, also twice."""
    known = {row.unit if whole else row.pair for row in there}
    found, first = [], dict[str, str]()  # of a work, the file that brought it first
    for row in brought:
        if whole and row.unit not in known and first.setdefault(row.unit, row.name) == row.name:
            found.append(row)
        elif not whole and row.pair not in known:
            known.add(row.pair)
            found.append(row)
    return found


def read(folder: Path, dataset: config.Dataset, header: Pair | None = None) -> list[Row]:
    """The pairs of every file, in one order everywhere; equal ones in a file of TSV too.

    `header`: the line of names that files of TSV have, where the entry says that they have one.

    Raises:
        UserError: a line of TSV is no pair, or longer than declared (says which); an edition without the other.
    """
    if dataset.align is not None:
        works = aligned_text.read(folder, dataset.align, (dataset.context, dataset.window - 1))
        return [Row(w.name, pair, w.content, n) for w in works for pair, n in zip(w.pairs, w.dropped, strict=True)]
    found = []
    for path in files(folder, ".tsv"):
        file = tsv.read(path, dataset.header, header)
        header = header or file.header
        for number, pair in file.pairs:
            for side, text, most in zip(("source", "target"), pair, (dataset.context, dataset.window - 1), strict=True):
                if len(text) > most:
                    hint = f"context: {len(text)}" if side == "source" else f"window: {len(text) + 1}"
                    said = f"the {side} has {len(text)} characters, but the entry has room for {most}"
                    raise UserError(f"{path}:{number}: {said}; raise it to {hint} or leave the line out")
            found.append(Row(path.relative_to(folder).as_posix(), pair, pair[0]))
    return found


def codes(texts: list[str], alphabet: str, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes (N, width) uint8, filled up with the end, and lengths (N,) int32 without it."""
    table = np.full((len(texts), width), len(alphabet), np.uint8)
    for row, text in zip(table, texts, strict=True):
        row[: len(text)] = encode(text, alphabet)
    return table, np.array([len(text) for text in texts], np.int32)


def describe(pairs: list[tuple[str, Pair]], where: np.ndarray, alphabet: str) -> pd.DataFrame:
    """One row a pair; `length` is the longer side's, `digest` both sides'."""
    import pandas as pd

    allowed = set(alphabet)
    rows = []
    for name, (source, target) in pairs:
        whole = f"{source}\t{target}"
        unknown = sum(c not in allowed for c in source + target)
        digest = hashlib.sha256(whole.encode()).hexdigest()[:16]
        rows.append((max(len(source), len(target)), len(set(whole)) - 1, unknown, digest, name))
    table = pd.DataFrame(rows, columns=["length", "distinct", "unknown", "digest", "source"])
    for column in ("min", "max", "mean", "spread", "time"):
        table[column] = np.nan
    return table.assign(split=where.astype(object), label=-1, finite=True)
