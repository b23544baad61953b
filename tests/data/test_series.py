"""Series: splits in time that do not move, windows with their past, and every bad cell named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from raw_folders import series

from genfoundry.data.base import Dataset
from genfoundry.types import UserError

Prepare = Callable[..., Dataset]


def write(path: Path, rows: range) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("year,value\n" + "".join(f"{t},{t / 10}\n" for t in rows))


def test_splits_follow_each_other(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw/a.csv", range(100))
    data = prepare(series())
    parts = [data.split(name).whole[:, 0] * 10 for name in ("train", "val", "gate", "test")]
    assert torch.cat(parts).round().tolist() == list(range(100))
    assert data.meta["names"] == ["value"]
    assert data.spec.cond_shape == (4, 1)


def test_windows_follow_their_past(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw/a.csv", range(100))
    data = prepare(series())
    for name, start in (("train", 4), ("val", None)):
        split = data.split(name)
        batch = split.batch(torch.arange(len(split)))
        assert batch.cond is not None
        assert len(split) == data.meta["counts"][name]
        both = torch.cat([batch.cond, batch.x], 1)[..., 0].double().numpy() * 10
        np.testing.assert_allclose(np.diff(both, axis=1), 1, atol=1e-4)
        first = split.whole[0, 0].item() * 10 if start is None else start
        assert both[0, 4] == pytest.approx(first, abs=1e-4)
        assert len(split.crop(torch.tensor([split.positions - 1])).x) == 1


def test_rows_that_arrive_extend_the_last_split(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw/a.csv", range(100))
    before = prepare(series()).meta["counts"]
    write(tmp_path / "inbox/b.csv", range(95, 120))  # five rows of it are there already
    data = prepare(series())
    assert data.split("test").whole[:, 0].mul(10).round().tolist()[-25:] == list(range(95, 120))
    assert {**data.meta["counts"], "test": 0} == {**before, "test": 0}


@pytest.mark.parametrize(
    ("line", "says"),
    [("7,high", "'high' is not a number"), ("7,", "missing"), ("7,nan", "missing"), ("7,1,2", "3 cells.*header has 2")],
)
def test_a_bad_cell(tmp_path: Path, prepare: Prepare, line: str, says: str) -> None:
    write(tmp_path / "raw/a.csv", range(100))
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox/b.csv").write_text(f"year,value\n100,1\n{line}\n")
    with pytest.raises(UserError, match=rf"b\.csv:3: .*{says}"):
        prepare(series())


def test_other_columns_and_no_rows(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw/a.csv", range(100))
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox/b.csv").write_text("year,height\n100,1\n")
    with pytest.raises(UserError, match="year, height"):
        prepare(series())
    (tmp_path / "raw/a.csv").write_text("")
    with pytest.raises(UserError, match=r"a\.csv: no rows"):
        prepare(series())


def test_too_short(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw/a.csv", range(12))
    with pytest.raises(UserError, match="is empty"):
        prepare(series())


def test_levels_are_for_images(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw/a.csv", range(100))
    with pytest.raises(UserError, match="real values"):
        prepare(series()).split("train", 2)


def test_a_contradicting_row_is_not_dropped_in_silence(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw/a.csv", range(100))
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox/b.csv").write_text("year,value\n50,99\n")
    try:
        prepare(series())
    except UserError:
        return
    rows = pd.read_parquet(tmp_path / "prepared/describe.parquet")
    assert (rows["time"] == 50).sum() == 2  # so that the expectation on order refuses it
