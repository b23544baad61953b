"""Text: whole documents to splits, windows, and every bad file named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from raw_folders import text

from genfoundry.data.dataset import Dataset
from genfoundry.data.splits.text import TextSplit
from genfoundry.errors import UserError
from genfoundry.types import Spec

Prepare = Callable[..., Dataset]


def write(folder: Path, n: int, start: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(start, start + n):
        (folder / f"{i:02}.txt").write_text(f"a b {i}\n\n" + f"cdef {i} ghij\n" * 10)


def test_a_document_stays_whole(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw", 30)
    prepare(text())
    rows = pd.read_parquet(tmp_path / "prepared/describe.parquet")
    assert (rows.groupby("source")["split"].nunique() == 1).all()
    assert set(rows["split"]) == {"train", "val", "gate", "test"}
    assert (rows["length"] > 0).all()


def test_no_document_moves_when_data_arrive(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw", 30)
    prepare(text())
    before = pd.read_parquet(tmp_path / "prepared/describe.parquet").groupby("source")["split"].first()
    write(tmp_path / "inbox", 10, start=30)
    prepare(text())
    after = pd.read_parquet(tmp_path / "prepared/describe.parquet").groupby("source")["split"].first()
    assert len(after) == 40
    assert (after[before.index] == before).all()


def test_windows(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw", 30)
    split = prepare(text()).split("train")
    assert len(split) == len(split.tensor) // 8
    assert split.positions == len(split.tensor) - 7
    assert (split.eval_batch(torch.tensor([0, 2])).x == torch.stack([split.tensor[:8], split.tensor[16:24]])).all()
    assert (split.train_batch(torch.tensor([3])).x[0] == split.tensor[3:11]).all()


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_an_empty_text(tmp_path: Path, prepare: Prepare, content: str) -> None:
    write(tmp_path / "raw", 30)
    (tmp_path / "raw/empty.txt").write_text(content)
    with pytest.raises(UserError, match=r"empty.txt: expected one line of text"):
        prepare(text())


def test_not_utf8(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw", 30)
    (tmp_path / "raw/latin.txt").write_bytes(b"abc \xe9")
    with pytest.raises(UserError, match=r"latin.txt: byte 4 is not UTF-8"):
        prepare(text())


def test_unknown_characters_are_counted(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw", 30)
    (tmp_path / "raw/z.txt").write_text("abc xyz\n" + "abcd\n" * 9)
    prepare(text())
    assert pd.read_parquet(tmp_path / "prepared/describe.parquet")["unknown"].sum() == 3


def test_no_text(tmp_path: Path, prepare: Prepare) -> None:
    (tmp_path / "raw").mkdir()
    with pytest.raises(UserError, match=r"expected \.txt files, got none"):
        prepare(text())


def test_an_inbox_file_of_the_same_name_moves_nothing(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw", 30)
    prepare(text())
    before = pd.read_parquet(tmp_path / "prepared/describe.parquet").groupby("digest")["split"].agg(set)
    write(tmp_path / "inbox", 30, start=30)
    for i, path in enumerate(sorted((tmp_path / "inbox").iterdir())):
        path.rename(path.with_name(f"{i:02}.txt"))
    prepare(text())
    after = pd.read_parquet(tmp_path / "prepared/describe.parquet").groupby("digest")["split"].agg(set)
    assert (after[before.index] == before).all()


def test_the_same_text_twice_in_the_inbox_counts_once(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw", 30)
    (tmp_path / "inbox").mkdir()
    for name in ("x.txt", "y.txt"):
        (tmp_path / "inbox" / name).write_text("abc def\n" * 9)
    prepare(text())
    assert (pd.read_parquet(tmp_path / "prepared/describe.parquet")["length"] == 7).sum() == 9


@pytest.mark.parametrize("unit", ["paragraph", "line"])
def test_one_long_text_is_cut(tmp_path: Path, prepare: Prepare, unit: str) -> None:
    (tmp_path / "raw").mkdir()
    between = "\n\n" if unit == "paragraph" else "\n"
    parts = [f"abc {i} def" + ("\nghij" if unit == "paragraph" else "") for i in range(90)]
    (tmp_path / "raw/tale.txt").write_text(between.join(parts) + "\n")
    with pytest.raises(UserError, match="expected items in split"):
        prepare(text())
    data = prepare(text(unit=unit))
    alphabet, found = data.meta["alphabet"], []
    whole = "".join(alphabet[i] for i in data.split("train").tensor.tolist())
    pieces = whole.removesuffix(between).split(between)
    found += [parts.index(piece) for piece in pieces]
    assert found == sorted(found)  # in the order of the text
    for name in ("val", "gate", "test"):
        split = data.split(name)
        for group in (groups := split.groups.unique().tolist()):
            kept = split.eval_batch((split.groups == group).nonzero()[:, 0]).x.flatten().tolist()
            unit = parts[group] + "\n" * (2 if name and between == "\n\n" else 1)
            assert "".join(alphabet[i] for i in kept) == unit[: len(unit) // 8 * 8]  # whole windows of it alone
        assert len(groups) >= 9
        found += groups
    assert sorted(found) == list(range(90))


def test_items_are_asked_for_from_the_cpu_wherever_the_text_is() -> None:
    tensors = {"x": torch.zeros(40, dtype=torch.uint8, device="meta"), "start": torch.zeros(1)}
    split = TextSplit("test", tensors, Spec((8,), 3))
    assert split.eval_batch(torch.tensor([0, 3])).x.shape == (2, 8)


ENDS = [(code, end) for code in ("utf-8", "utf-8-sig", "utf-16") for end in ("\n", "\r\n", "\r", "\u2028", "\x85")]


@pytest.mark.parametrize(("code", "end"), [*ENDS, ("utf-16-le", "\n"), ("utf-16-be", "\r\n")])
def test_one_text_in_many_encodings(tmp_path: Path, prepare: Prepare, code: str, end: str) -> None:
    write(tmp_path / "raw", 30)
    plain = prepare(text(), out="plain").meta["digest"]
    for path in (tmp_path / "raw").iterdir():
        path.write_bytes(path.read_text().replace("\n", end).encode(code))
    assert prepare(text()).meta["digest"] == plain


def test_a_nul_is_no_character(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw", 30)
    (tmp_path / "raw/z.txt").write_text("abc\nab\0c\n")
    with pytest.raises(UserError, match=r"z.txt:2: a NUL character"):
        prepare(text())
