"""Pairs of sentences, a line each: `source<TAB>target`; the target is the sample, the source its condition.

Or, with `align`, lines of two editions of a text (`readers.aligned_text`).

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
from genfoundry.data.alphabet import UNKNOWN, check_alphabet, pad_codes
from genfoundry.data.preparation import Arrays, Prepared
from genfoundry.data.readers import aligned_text, tsv
from genfoundry.data.readers.listing import list_files, require_suffixes
from genfoundry.data.readers.tsv import Pair
from genfoundry.data.split_assignment import assign_groups, assign_split, number_groups
from genfoundry.errors import UserError
from genfoundry.splits import SPLITS
from genfoundry.types import Spec

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Row:
    """A pair, its file, the text whose hash decides its split, and how many lines were left out before it."""

    name: str
    pair: Pair
    unit: str
    dropped: int = 0


def prepare(raw: Path, inbox: Path, dataset: config.Dataset, seed: int) -> Prepared:
    """Lines -> codes a split, by a hash of the source: a source that was trained on is never tested.

    Of editions, a work goes to one split, by a hash of its pairs. Pairs of one source, or work, are a group.
    """
    kinds = (dataset.align.source, dataset.align.target) if dataset.align else (".tsv",)
    rows, names = read_pairs(raw, dataset)
    if not rows:
        wanted = "two editions of a text" if dataset.align else "a source, a tab and a target a line"
        raise UserError(f"{raw}: expected {' and '.join(kinds)} files, {wanted}, got no pairs")
    require_suffixes(inbox, *kinds)
    check_alphabet(dataset.alphabet, UNKNOWN - 1)
    if dataset.align is None:
        _require_sources(raw, rows)
    count = len(rows)
    rows += select_new(rows, read_pairs(inbox, dataset, names)[0], works=dataset.align is not None)
    split_of, group = _assign_splits(rows, count, dataset, seed)
    cond, cond_length = encode_padded([row.pair[0] for row in rows], dataset.alphabet, dataset.context)
    x, length = encode_padded([row.pair[1] for row in rows], dataset.alphabet, dataset.window)
    columns = {"x": x, "length": length, "cond": cond, "cond_length": cond_length} | group
    alphabet = np.array([ord(character) for character in dataset.alphabet], np.int32)
    splits = {split: {key: value[split_of == split] for key, value in columns.items()} | {"alphabet": alphabet}
              for split in SPLITS}  # fmt: skip
    levels = len(dataset.alphabet) + 1
    spec = Spec((dataset.window,), levels, cond_shape=(dataset.context,), cond_levels=levels)
    counts = {split: int((split_of == split).sum()) for split in SPLITS}
    table = describe(rows, split_of, dataset.alphabet)
    if dataset.align:
        table["dropped"] = [row.dropped for row in rows]
    return Prepared(splits, spec, (), counts, table)


def _assign_splits(rows: list[Row], count: int, dataset: config.Dataset, seed: int) -> tuple[np.ndarray, Arrays]:
    """The split of each pair (N,); and "group" (N,), its unit's number, where units of the raw folder have several."""
    digests = [hashlib.sha256(row.unit.encode()).digest() for row in rows]
    raw = set(digests[:count])  # the first `count` rows are the raw folder's
    if len(raw) == count:
        return np.array([assign_split(seed, digest, dataset, False) for digest in digests]), {}
    split_of = assign_groups(seed, raw, digests, dataset, False)
    return np.array([split_of[digest] for digest in digests]), {"group": number_groups(digests)}


def _require_sources(raw: Path, rows: list[Row]) -> None:
    """Refuse sources that are no texts or too few: pairs of one source go to one split."""
    sources = len({row.unit for row in rows})
    if sources < len(SPLITS):
        raise UserError(
            f"{raw}: expected {len(SPLITS)} different sources or more, got {sources} in {len(rows)} pairs; pairs of "
            "one source go to one split (is the first column the source?)"
        )
    for start in (0, 1):
        if all(row.pair[0] == str(i) for i, row in enumerate(rows, start)):
            raise UserError(
                f"{raw}: expected a source, a tab and a target a line, got line numbers in the first column"
            )


def select_new(old: list[Row], brought: list[Row], *, works: bool) -> list[Row]:
    """The rows of an inbox that the data set does not have yet; equal pairs, or `works` in two files, count once."""
    seen = {row.unit if works else row.pair for row in old}
    new, file_of = [], dict[str, str]()  # of a work, the file that brought it first
    for row in brought:
        if works and row.unit not in seen and file_of.setdefault(row.unit, row.name) == row.name:
            new.append(row)
        elif not works and row.pair not in seen:
            seen.add(row.pair)
            new.append(row)
    return new


def read_pairs(folder: Path, dataset: config.Dataset, header: Pair | None = None) -> tuple[list[Row], Pair | None]:
    """Read the pairs of every file, in one order everywhere, and the names of TSV's columns.

    `header`: the names that the raw files have, where the entry says that they have a line of them.

    Raises:
        UserError: a line of TSV is no pair, or longer than declared (says which); an edition without the other.
    """
    limits = (dataset.context, dataset.window - 1)
    if dataset.align is not None:
        works = aligned_text.read_works(folder, dataset.align, limits)
        rows = [Row(w.name, pair, w.content, n) for w in works for pair, n in zip(w.pairs, w.dropped, strict=True)]
        return rows, None
    rows = []
    for path in list_files(folder, ".tsv"):
        file = tsv.read_tsv(path, dataset.header, header)
        header = header or file.header
        for number, pair in file.pairs:
            for side, text, most in zip(("source", "target"), pair, limits, strict=True):
                if len(text) > most:
                    hint = f"context: {len(text)}" if side == "source" else f"window: {len(text) + 1}"
                    raise UserError(
                        f"{path}:{number}: expected a {side} of up to {most} characters, got {len(text)}; "
                        f"declare {hint} in the data set's entry or leave the line out"
                    )
            rows.append(Row(path.relative_to(folder).as_posix(), pair, pair[0]))
    return rows, header


def encode_padded(texts: list[str], alphabet: str, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes (N, width) uint8, filled up with the end, and lengths (N,) int32 without it."""
    return pad_codes(texts, alphabet, width, len(alphabet)), np.array([len(text) for text in texts], np.int32)


def describe(rows: list[Row], split_of: np.ndarray, alphabet: str) -> pd.DataFrame:
    """The description table, a row a pair; `length` is the longer side's, `digest` both sides'."""
    import pandas as pd

    allowed = set(alphabet)
    records = []
    for row in rows:
        source, target = row.pair
        both = f"{source}\t{target}"
        unknown = sum(c not in allowed for c in source + target)
        digest = hashlib.sha256(both.encode()).hexdigest()[:16]
        records.append((max(len(source), len(target)), len(set(both)) - 1, unknown, digest, row.name))
    table = pd.DataFrame(records, columns=["length", "distinct", "unknown", "digest", "source"])
    for column in ("min", "max", "mean", "spread", "time"):
        table[column] = np.nan
    return table.assign(split=split_of.astype(object), label=-1, finite=True)
