"""Two editions of one text as pairs of lines: which line of one says what a line of the other says.

Lines are compared by their letters alone, spelling levelled, as sets of three characters in a row: the Dice coefficient
2 |a & b| / (|a| + |b|), in thousandths. An alignment is a set of pairs of lines that do not cross; the best one has the
largest sum, found by dynamic programming over all pairs. Whole numbers throughout: the same pairs on every machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from genfoundry.data.base import files
from genfoundry.data.text import normal
from genfoundry.types import UserError

if TYPE_CHECKING:
    from genfoundry.config import Align

Ints = NDArray[np.int32]
# "   Bar. " before a line of verse: who speaks, which a play may also say in a line of its own
SPEAKER = re.compile(r"^\s+(?:[A-Z0-9&][\w'&-]*\.? ){0,2}?[A-Z0-9][\w'&.-]*\.\s+")


@dataclass(frozen=True)
class Aligned:
    """A work in two editions: `pairs` of (source, target), and how many source lines were left out before each.

    The lines left out after the last pair count there.
    """

    name: str
    pairs: tuple[tuple[str, str], ...]
    dropped: tuple[int, ...]

    @property
    def content(self) -> str:
        return "\n".join(map("\t".join, self.pairs))


def read(folder: Path, align: Align, most: tuple[int, int]) -> list[Aligned]:
    """The works of a folder, in the order of their sources' names; `most` characters of a source, of a target.

    Raises:
        UserError: a file is not text, or a source edition has no target edition.
    """
    known = {side: _works(folder, suffix) for side, suffix in (("source", align.source), ("target", align.target))}
    levelled = {name: set(map(level, lines)) for name, lines in known["target"].items()}
    found = []
    for name, lines in known["source"].items():
        own = set(map(level, lines))
        shared = {other: len(own & theirs) for other, theirs in levelled.items()}
        best = max(sorted(shared), key=lambda other: shared[other], default=None)
        if best is None or not shared[best]:
            raise UserError(f"{folder / name}: no *{align.target} has a line of it; both editions are wanted")
        found.append(_aligned(name, lines, known["target"][best], align.least, most))
    return found


def _works(folder: Path, suffix: str) -> dict[str, list[str]]:
    paths = files(folder, suffix)
    return {p.relative_to(folder).as_posix(): list(said(normal(p, p.read_bytes()))) for p in paths}


def said(text: str) -> Iterator[str]:
    """The lines that are not empty, without blanks around them or a speaker before them."""
    return filter(None, (SPEAKER.sub("", line).strip().replace("\t", " ") for line in text.split("\n")))


def level(line: str) -> str:
    """The letters of a line, as if spelling had not changed: u is v, i is j and y, no doubles, no final e."""
    letters = re.sub(r"[^a-z ]", "", line.lower().replace("-", " ")).translate(str.maketrans("vjy", "uii"))
    return " ".join(re.sub(r"e\b", "", re.sub(r"(.)\1", r"\1", letters)).split())


def _aligned(name: str, source: list[str], target: list[str], least: float, most: tuple[int, int]) -> Aligned:
    pairs, dropped, before = [], [], -1
    for i, j in matched(similarity(source, target), round(1000 * least)):
        if len(source[i]) <= most[0] and len(target[j]) <= most[1]:
            pairs.append((source[i], target[j]))
            dropped.append(i - before - 1)
            before = i
    if dropped:
        dropped[-1] += len(source) - 1 - before
    return Aligned(name, tuple(pairs), tuple(dropped))


def similarity(source: list[str], target: list[str]) -> Ints:
    """(len(source), len(target)) Dice coefficients in thousandths, rounded down."""
    from scipy.sparse import csr_array

    known: dict[str, int] = {}

    def grams(lines: list[str]) -> csr_array:
        found = []
        for line in lines:
            text = f" {level(line)} "
            found.append(sorted({known.setdefault(text[k : k + 3], len(known)) for k in range(len(text) - 2)}))
        starts = np.cumsum([0, *map(len, found)])
        index = np.array([gram for row in found for gram in row], np.int32)
        return csr_array((np.ones(len(index), np.int32), index, starts), shape=(len(lines), len(known)))

    ours, theirs = grams(source), grams(target)
    ours.resize(len(source), len(known))
    both = (ours @ theirs.T).toarray()
    total = np.diff(ours.indptr)[:, None] + np.diff(theirs.indptr)
    return np.asarray(2000 * both // np.maximum(total, 1), np.int32)


def matched(similar: Ints, least: int) -> list[tuple[int, int]]:
    """The pairs (i, j), i and j rising, of the largest sum of `similar` (N, M); of pairs of `least` or more alone."""
    similar = np.where(similar >= least, similar, 0)
    n, m = similar.shape
    best = np.zeros((n + 1, m + 1), np.int32)  # of the first i lines and the first j
    for i in range(n):
        taken = np.maximum(best[i, 1:], best[i, :-1] + similar[i])
        np.maximum.accumulate(taken, out=best[i + 1, 1:])
    found, i, j = [], n, m
    while i and j:
        if best[i, j] == best[i - 1, j]:
            i -= 1
        elif best[i, j] == best[i, j - 1]:
            j -= 1
        else:
            i, j = i - 1, j - 1
            found.append((i, j))
    return found[::-1]
