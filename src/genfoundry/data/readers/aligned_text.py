"""Two editions of one text as pairs of lines: which line of one says what a line of the other says.

Lines are compared by their letters alone, spelling normalised, as sets of three characters in a row: the Dice
coefficient 2 |a & b| / (|a| + |b|), in thousandths. An alignment is a set of pairs of lines that do not cross; the best
one has the largest sum, computed by dynamic programming. Lines that are alike in all their letters, and like no other,
are taken first and cut the works into stretches (the idea of Cohen's patience diff), each aligned on its own: a few
lines against a few, and not thousands against thousands. Whole numbers throughout: the same pairs on every machine.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from genfoundry.data.readers.documents import normalise
from genfoundry.data.readers.listing import list_files
from genfoundry.errors import UserError

if TYPE_CHECKING:
    from genfoundry.config import Align

Ints = NDArray[np.int32]
LONG = 20
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

    @cached_property
    def content(self) -> str:
        """All pairs as one text, whose hash decides the split."""
        return "\n".join(map("\t".join, self.pairs))


def read_works(folder: Path, align: Align, most: tuple[int, int]) -> list[Aligned]:
    """Read the works of a folder, in the order of their sources' names; `most` characters of a source, of a target.

    Raises:
        UserError: a file is not text, or a source edition has no target edition.
    """
    sources, targets = (_read_lines(folder, suffix) for suffix in (align.source, align.target))
    normalised = {name: set(map(normalise_spelling, lines)) for name, lines in targets.items()}
    works = []
    for name, lines in sources.items():
        ours = set(map(normalise_spelling, lines))
        shared = {other: len(ours & theirs) for other, theirs in normalised.items()}
        best = max(sorted(shared), key=lambda other: shared[other], default=None)
        if best is None or not shared[best]:
            raise UserError(f"{folder / name}: expected a *{align.target} file that shares lines with it, got none")
        works.append(_align(name, lines, targets[best], align.least, most))
    return works


def _read_lines(folder: Path, suffix: str) -> dict[str, list[str]]:
    paths = list_files(folder, suffix)
    return {p.relative_to(folder).as_posix(): list(strip_speakers(normalise(p, p.read_bytes()))) for p in paths}


def strip_speakers(text: str) -> Iterator[str]:
    """The lines that are not empty, without blanks around them or a speaker before them."""
    return filter(None, (SPEAKER.sub("", line).strip().replace("\t", " ") for line in text.split("\n")))


def normalise_spelling(line: str) -> str:
    """The letters of a line, as if spelling had not changed: u is v, i is j and y, no doubles, no final e."""
    letters = re.sub(r"[^a-z ]", "", line.lower().replace("-", " ")).translate(str.maketrans("vjy", "uii"))
    return " ".join(re.sub(r"e\b", "", re.sub(r"(.)\1", r"\1", letters)).split())


def _align(name: str, source: list[str], target: list[str], least: float, most: tuple[int, int]) -> Aligned:
    pairs, dropped, before = [], [], -1
    for i, j in align_lines(source, target, round(1000 * least)):
        if len(source[i]) <= most[0] and len(target[j]) <= most[1]:
            pairs.append((source[i], target[j]))
            dropped.append(i - before - 1)
            before = i
    if dropped:
        dropped[-1] += len(source) - 1 - before
    return Aligned(name, tuple(pairs), tuple(dropped))


def align_lines(source: list[str], target: list[str], least: int) -> list[tuple[int, int]]:
    """Pairs of lines (i, j), i and j rising, that say the same, as alike as `least` thousandths or more."""
    ours, theirs = ([normalise_spelling(line) for line in lines] for lines in (source, target))
    pairs, last = [], (-1, -1)
    for i, j in [*find_anchors(ours, theirs), (len(ours), len(theirs))]:
        (a, b), last = last, (i, j)
        between = match_lines(similarity(ours[a + 1 : i], theirs[b + 1 : j]), least)
        pairs += [*((a + 1 + di, b + 1 + dj) for di, dj in between), (i, j)]
    return pairs[:-1]


def find_anchors(ours: list[str], theirs: list[str]) -> list[tuple[int, int]]:
    """Longest rising chain of equal normalised lines of `LONG` letters or more that stand once in either edition."""
    once = [{line: n for n, line in enumerate(lines) if times[line] == 1 and len(line) >= LONG}
            for lines in (ours, theirs) for times in [Counter(lines)]]  # fmt: skip
    common = [(i, once[1][line]) for line, i in once[0].items() if line in once[1]]
    ends: list[int] = []  # of the best chain of each length, the last j, and where in `common` it is
    tops: list[int] = []
    back: list[int] = []
    for n, (_, j) in enumerate(common):
        at = bisect_left(ends, j)
        back.append(tops[at - 1] if at else -1)
        ends[at : at + 1], tops[at : at + 1] = [j], [n]
    chain, n = [], tops[-1] if tops else -1
    while n >= 0:
        chain.append(common[n])
        n = back[n]
    return chain[::-1]


def similarity(ours: list[str], theirs: list[str]) -> Ints:
    """Normalised lines (N,), (M,) -> (N, M) Dice coefficients in thousandths, rounded down."""
    sets = [[{f" {line} "[k : k + 3] for k in range(len(line))} for line in lines] for lines in (ours, theirs)]
    dice = [[2000 * len(a & b) // max(len(a) + len(b), 1) for b in sets[1]] for a in sets[0]]
    return np.array(dice, np.int32).reshape(len(ours), len(theirs))


def match_lines(similar: Ints, least: int) -> list[tuple[int, int]]:
    """The pairs (i, j), i and j rising, of the largest sum of `similar` (N, M); of pairs of `least` or more alone."""
    similar = np.where(similar >= least, similar, 0)
    n, m = similar.shape
    best = np.zeros((n + 1, m + 1), np.int32)  # of the first i lines and the first j
    for i in range(n):
        taken = np.maximum(best[i, 1:], best[i, :-1] + similar[i])
        np.maximum.accumulate(taken, out=best[i + 1, 1:])
    pairs, i, j = [], n, m
    while i and j:
        if best[i, j] == best[i - 1, j]:
            i -= 1
        elif best[i, j] == best[i, j - 1]:
            j -= 1
        else:
            i, j = i - 1, j - 1
            pairs.append((i, j))
    return pairs[::-1]
