"""Editions: lines of two spellings find each other, whatever one of them lacks, adds or changes; works stay whole."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from raw_folders import pairs

from genfoundry.config import Align
from genfoundry.data.dataset import Dataset
from genfoundry.data.readers import aligned_text
from genfoundry.errors import UserError
from genfoundry.splits import SPLITS

Prepare = Callable[..., Dataset]
OLD = [
    "Vpon a fearfull Summons. I haue heard,",
    "The Cocke that is the Trumpet to the day,",
    "Doth with his lofty and shrill-sounding Throate",
    "Awake the God of Day: and at his warning,",
    "Whether in Sea, or Fire, in Earth, or Ayre,",
    "Th' extrauagant, and erring Spirit, hyes",
    "To his Confine. And of the truth heerein,",
    "This present Obiect made probation",
]
NEW = [
    "Upon a fearful summons. I have heard",
    "The cock, that is the trumpet to the day,",
    "Doth with his lofty and shrill-sounding throat",
    "Awake the god of day; and at his warning,",
    "Whether in sea or fire, in earth or air,",
    "The extravagant and erring spirit hies",
    "To his confine: and of the truth herein",
    "This present object made probation.",
]
ALIGN = Align(source="_old.txt", target="_new.txt", least=0.8)
LETTERS = "".join(sorted(set("".join(OLD + NEW)) | set("0123456789abcdefghijklmnopqrstuvwxyz")))


def found(old: list[str], new: list[str], least: int = 800) -> list[tuple[int, int]]:
    return aligned_text.align_lines(old, new, least)


def test_every_line_finds_its_like() -> None:
    assert found(OLD, NEW) == [(i, i) for i in range(8)]


def test_dropped_inserted_and_altered_lines_leave_the_others_alone() -> None:
    new = [*NEW[:2], "SCENE II. Elsinore.", *NEW[2:4], *NEW[5:], "[Exeunt.]"]  # one inserted, one dropped, one more
    new[5] = "The cock crew, and it started like a guilty thing"  # stands where "Th' extrauagant" did
    expected = [(0, 0), (1, 1), (2, 3), (3, 4), (6, 6), (7, 7)]
    assert found(OLD, new) == expected
    assert found(new, OLD) == [(j, i) for i, j in expected]


def test_a_line_that_recurs_is_taken_where_it_keeps_the_order() -> None:
    old, new = [*OLD[:3], "My Lord.", *OLD[3:]], ["My lord!", *NEW[:3], "My lord.", *NEW[3:], "My lord?"]
    assert (3, 4) in found(old, new)
    assert len(found(old, new)) == 9
    swapped = [NEW[1], NEW[0], *NEW[2:]]
    assert len(found(OLD, swapped)) == 7, "pairs do not cross"


def test_lines_taken_first_change_nothing_but_the_time() -> None:
    old, new = [*OLD, "Exeunt."], ["Exeunt", *NEW[:3], "Exeunt.", *NEW[4:], NEW[2]]
    ours, theirs = ([aligned_text.normalise_spelling(line) for line in lines] for lines in (old, new))
    first = aligned_text.find_anchors(ours, theirs)
    assert len(first) == 6 and all(ours[i] == theirs[j] and len(ours[i]) >= aligned_text.LONG for i, j in first)
    whole = aligned_text.similarity(ours, theirs)
    assert sum(whole[at] for at in found(old, new)) == sum(whole[at] for at in aligned_text.match_lines(whole, 800))


def test_the_alignment_is_the_best_of_all() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        table = rng.integers(0, 10, (4, 5))
        cells = [(i, j) for i in range(4) for j in range(5) if table[i, j] >= 3]
        chains = [
            chain for size in range(5) for chain in combinations(cells, size)
            if all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(chain))
        ]  # fmt: skip
        best = max(sum(table[cell] for cell in chain) for chain in chains)
        made = aligned_text.match_lines(table, 3)
        assert made in [list(chain) for chain in chains]
        assert sum(table[cell] for cell in made) == best


def test_similarity_by_hand() -> None:
    # " abcd " and " abce ": four grams each, " ab" and "abc" in both.
    assert aligned_text.similarity(["abcd"], ["abcf", "xyz", ""]).tolist() == [[500, 0, 0]]
    assert aligned_text.normalise_spelling("Haue sweete Ioyes-- vnfold'd,") == "hau swet ioies unfold"


@pytest.mark.parametrize(
    ("line", "says"),
    [("   Bar. Who's there?", "Who's there?"), ("  1.Lord. Come", "Come"), ("  2 Gent. Come", "Come"),
     ("  Le Beu. Faire Princesse,", "Faire Princesse,"), ("Long. And loud", "Long. And loud"),
     ("  and so. it goes", "and so. it goes")],
)  # fmt: skip
def test_who_speaks_is_no_part_of_a_line(line: str, says: str) -> None:
    assert list(aligned_text.strip_speakers(f"{line}\n\n")) == [says]


def play(folder: Path, name: str, number: int, new: str = "") -> None:
    """A work of the eight lines, each with a word of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    word = "abcdefghijklmnopqrstuvwxyz"[number % 26] * 3 + "pqrs"[number // 26]
    (folder / f"{name}_old.txt").write_text("\n".join(f"{line} {word}" for line in OLD))
    (folder / f"{new or name}_new.txt").write_text("\n".join(f"{line} {word}" for line in [NEW[0], "Ho!", *NEW[2:]]))


def declared() -> object:
    return pairs(window=60, context=64, alphabet=LETTERS, align=ALIGN.model_dump())


def test_works_find_each_other_by_their_lines(tmp_path: Path) -> None:
    play(tmp_path, "errours", 0, "errors")
    (tmp_path / "other_new.txt").write_text("Something else altogether")
    (work,) = aligned_text.read_works(tmp_path, ALIGN, (64, 59))
    assert work.name == "errours_old.txt"
    assert len(work.pairs) == 7
    assert work.dropped == (0, 1, 0, 0, 0, 0, 0)
    assert work.pairs[0] == (f"{OLD[0]} aaap", f"{NEW[0]} aaap")
    (short,) = aligned_text.read_works(tmp_path, ALIGN, (42, 59))  # what is longer is left out too
    assert len(short.pairs) + sum(short.dropped) == 8
    assert max(len(source) for source, _ in short.pairs) <= 42
    (tmp_path / "alone_old.txt").write_text("Xxxx yyyy")
    with pytest.raises(UserError, match=r"alone_old\.txt: expected a \*_new\.txt file that shares lines"):
        aligned_text.read_works(tmp_path, ALIGN, (64, 59))


def test_a_work_is_in_one_split_and_stays_there(tmp_path: Path, prepare: Prepare) -> None:
    for number in range(20):
        play(tmp_path / "raw", f"w{number:02}", number)
    data = prepare(declared())
    rows = pd.read_parquet(data.folder / "describe.parquet")
    assert (rows.groupby("source")["split"].nunique() == 1).all()
    assert set(rows["split"]) == set(SPLITS)
    assert rows["dropped"].sum() == 20
    batch, split = data.split("train").eval_batch(torch.arange(1)), data.split("train")
    assert split.texts(batch.cond)[0].startswith("Vpon a fearfull")  # type: ignore[attr-defined]
    assert split.texts(batch.x)[0].startswith("Upon a fearful")  # type: ignore[attr-defined]
    play(tmp_path / "inbox", "again", 3)  # a work that is there already, and one that is not
    play(tmp_path / "inbox", "more", 20)
    play(tmp_path / "inbox", "twice", 20)
    after = pd.read_parquet(prepare(declared(), out="after").folder / "describe.parquet")
    assert len(after) == len(rows) + 7
    before = rows.set_index("digest")["split"]
    assert (after.set_index("digest")["split"][before.index] == before).all()


def test_no_editions(tmp_path: Path, prepare: Prepare) -> None:
    (tmp_path / "raw").mkdir()
    with pytest.raises(
        UserError, match=r"expected _old\.txt and _new\.txt files, two editions of a text, got no pairs"
    ):
        prepare(declared())
