"""Pairs: codes with an end, splits by the source, and every bad line named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from raw_folders import pairs

from genfoundry.data.dataset import Dataset
from genfoundry.errors import UserError
from genfoundry.splits import SPLITS

Prepare = Callable[..., Dataset]


def write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def lines(n: int, start: int = 0) -> list[str]:
    return [f"olde {i}\told {i} a" for i in range(start, start + n)]


def described(data: Dataset) -> pd.DataFrame:
    return pd.read_parquet(data.folder / "describe.parquet")


def test_codes_ends_and_masks(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw/a.tsv", [*lines(60), "ab\tabcde", ""])
    data = prepare(pairs(window=10, context=8))
    alphabet, end = data.meta["alphabet"], len(data.meta["alphabet"])
    assert (data.spec.shape, data.spec.cond_shape) == ((10,), (8,))
    assert data.spec.levels == data.spec.cond_levels == end + 1
    splits = {name: data.split(name) for name in SPLITS}
    assert sum(map(len, splits.values())) == 61
    for split in splits.values():
        batch = split.eval_batch(torch.arange(len(split)))
        assert batch.cond is not None and batch.cond_mask is not None and batch.mask is not None
        for x, mask, cond, before in zip(batch.x, batch.mask, batch.cond, batch.cond_mask, strict=True):
            source = "".join(alphabet[i] for i in cond[before].tolist())
            target = "".join(alphabet[i] for i in x[mask][:-1].tolist())
            assert (source, target) == ("ab", "abcde") or target == source.replace("olde", "old") + " a"
            assert x[mask][-1] == end and mask.sum() == len(target) + 1  # the end is one more symbol to learn
            assert (x[~mask] == end).all() and (cond[~before] == end).all()


def test_a_source_is_in_one_split(tmp_path: Path, prepare: Prepare) -> None:
    twice = [f"olde {i}\told {i} {side}" for i in range(60) for side in ("a", "b")]
    write(tmp_path / "raw/a.tsv", twice)
    data = prepare(pairs())
    where = {}
    for name in SPLITS:
        split = data.split(name)
        for cond in split.eval_batch(torch.arange(len(split))).cond.tolist():  # type: ignore[union-attr]
            where.setdefault(tuple(cond), set()).add(name)
    assert len(where) == 60 and all(len(names) == 1 for names in where.values())


def test_no_pair_moves_when_data_arrive(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw/a.tsv", lines(60))
    before = described(prepare(pairs(), out="before")).set_index("digest")["split"]
    write(tmp_path / "inbox/b.tsv", lines(40, start=50))  # ten of them are there already
    write(tmp_path / "inbox/c.tsv", lines(10, start=80))  # and these are brought twice
    after = described(prepare(pairs())).set_index("digest")["split"]
    assert len(after) == 90 and (after[before.index] == before).all()


def test_the_description(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw/a.tsv", [*lines(60), "abc\tab!?", "olde 1\told 1 a"])
    rows = described(prepare(pairs()))
    assert rows["unknown"].sum() == 2
    assert rows["digest"].duplicated().sum() == 1
    assert rows["length"].max() == len("old 10 a")


BAD = [
    ("no tab", r"a\.tsv:3: expected a source, one tab and a target, got 0 tabs"),
    ("a\tb\tc", r"a\.tsv:3: .*got 2 tabs"),
    ("a\t", r"a\.tsv:3: expected a target, got an empty one"),
    (" \tb", r"a\.tsv:3: expected a source, got an empty one"),
    ("a" * 17 + "\tb", r"a\.tsv:3: expected a source of up to 16 characters, got 17; declare context: 17"),
    ("a\t" + "b" * 16, r"a\.tsv:3: expected a target of up to 15 characters, got 16; declare window: 17"),
]


@pytest.mark.parametrize(("line", "says"), BAD)
def test_a_bad_line_is_named(tmp_path: Path, prepare: Prepare, line: str, says: str) -> None:
    write(tmp_path / "raw/a.tsv", [*lines(2), line, *lines(60, start=2)])
    with pytest.raises(UserError, match=says) as refused:
        prepare(pairs())
    assert "\n" not in str(refused.value)


def test_bad_files(tmp_path: Path, prepare: Prepare) -> None:
    (tmp_path / "raw").mkdir()
    with pytest.raises(UserError, match="got no pairs"):
        prepare(pairs())
    (tmp_path / "raw/a.tsv").write_bytes(b"a\t\xe9\n")
    with pytest.raises(UserError, match=r"a\.tsv: byte 2 is not UTF-8"):
        prepare(pairs())
    write(tmp_path / "raw/a.tsv", lines(60))
    write(tmp_path / "inbox/b.txt", lines(2))
    with pytest.raises(UserError, match=r"b\.txt: expected a kind of file that"):
        prepare(pairs())


def test_levels_are_for_images(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw/a.tsv", lines(60))
    with pytest.raises(UserError, match=r"data\.levels: expected no value for a PairSplit, got 2"):
        prepare(pairs()).split("train", 2)
