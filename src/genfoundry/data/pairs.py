"""Pairs of sentences, a line each: `source<TAB>target`; the target is the sample, the source its condition.

Both are characters of one alphabet of A; code A is the end. A target is followed by one end, which the model has to
learn, then by more of them up to `window`; a source by ends up to `context`. `Batch.mask` is true up to the first end
of the target, `Batch.cond_mask` on the source's characters: what is beyond counts nowhere.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from genfoundry import config
from genfoundry.data.base import SPLITS, Prepared, assign, files, only
from genfoundry.data.text import UNKNOWN, encode
from genfoundry.types import Batch, Spec, UserError

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

Pair = tuple[str, str]


def prepare(raw: Path, inbox: Path, dataset: config.Dataset, seed: int) -> Prepared:
    """Lines -> codes a split, by a hash of the source: a source that was trained on is never tested."""
    old = read(raw, dataset)
    if not old:
        raise UserError(f"{raw}: no pairs; .tsv files, a source, a tab and a target a line, are read")
    only(inbox, ".tsv")
    if len(dataset.alphabet) >= UNKNOWN or len(set(dataset.alphabet)) < len(dataset.alphabet):
        raise UserError(f"alphabet: {len(dataset.alphabet)} characters; up to {UNKNOWN - 1} different ones are right")
    known = {pair for _, pair in old}
    new = []
    for name, pair in read(inbox, dataset):
        if pair not in known:  # an inbox may bring again what is there; it does not count twice
            known.add(pair)
            new.append((name, pair))
    pairs = [pair for _, pair in old + new]
    where = np.array([assign(seed, hashlib.sha256(source.encode()).digest(), dataset, False) for source, _ in pairs])
    cond, before = codes([source for source, _ in pairs], dataset.alphabet, dataset.context)
    x, length = codes([target for _, target in pairs], dataset.alphabet, dataset.window)
    columns = {"x": x, "length": length, "cond": cond, "cond_length": before}
    splits = {split: {key: value[where == split] for key, value in columns.items()} for split in SPLITS}
    levels = len(dataset.alphabet) + 1
    spec = Spec((dataset.window,), levels, cond_shape=(dataset.context,), cond_levels=levels)
    counts = {split: int((where == split).sum()) for split in SPLITS}
    return Prepared(splits, spec, (), counts, describe(old + new, where, dataset.alphabet))


def read(folder: Path, dataset: config.Dataset) -> list[tuple[str, Pair]]:
    """(file name, (source, target)) of every line that is not empty.

    Raises:
        UserError: a line is no pair, or longer than declared; says which.
    """
    found = []
    for path in files(folder, ".tsv"):
        for number, pair in parse(path):
            for side, text, most in zip(("source", "target"), pair, (dataset.context, dataset.window - 1), strict=True):
                if len(text) > most:
                    hint = f"context: {len(text)}" if side == "source" else f"window: {len(text) + 1}"
                    said = f"the {side} has {len(text)} characters, but the entry has room for {most}"
                    raise UserError(f"{path}:{number}: {said}; raise it to {hint} or leave the line out")
            found.append((path.relative_to(folder).as_posix(), pair))
    return found


def parse(path: Path) -> list[tuple[int, Pair]]:
    """(line number, (source, target)) of every line that is not empty, blanks around either side cut off.

    Raises:
        UserError: not UTF-8, or a line that is not two texts with a tab between them.
    """
    try:
        lines = path.read_bytes().decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: byte {error.start} is not UTF-8; convert the file") from None
    found = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        sides = [side.strip() for side in line.split("\t")]
        if len(sides) != 2:
            raise UserError(f"{path}:{number}: {len(sides) - 1} tabs; a source, one tab and a target are right")
        if not all(sides):
            raise UserError(f"{path}:{number}: the {'source' if not sides[0] else 'target'} is empty")
        found.append((number, (sides[0], sides[1])))
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


class Split:
    """Pairs on a device; an item, and a position, is a pair."""

    def __init__(
        self,
        name: str,
        tensors: dict[str, Tensor],
        spec: Spec,
        levels: int | None,
        binarise: str | None,
        flip: bool = False,
    ) -> None:
        if levels is not None or binarise is not None:
            raise UserError("data: levels and binarise are for images; pairs have their alphabet")
        self.name, self.whole, self.spec, self._held = name, tensors["x"], spec, tensors

    def __len__(self) -> int:
        return len(self.whole)

    @property
    def positions(self) -> int:
        """Pairs."""
        return len(self.whole)

    def batch(self, index: Tensor) -> Batch:
        """These pairs."""
        import torch

        x, cond, length, before = (self._held[key][index] for key in ("x", "cond", "length", "cond_length"))
        place = torch.arange(max(x.shape[1], cond.shape[1]), device=x.device)
        mask = place[: x.shape[1]] <= length[:, None]  # (B, T): the characters and the first end
        return Batch(x.long(), cond.long(), place[: cond.shape[1]] < before[:, None], mask=mask)

    crop = batch
