"""Series: splits in time that do not move, windows with their past, and every bad cell named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from raw_folders import series

from genfoundry import config
from genfoundry.data import preparation
from genfoundry.data.dataset import Dataset
from genfoundry.data.fetch import catalog
from genfoundry.data.readers import time_csv
from genfoundry.errors import UserError
from pipeline.orchestration import resolve

ROOT = Path(__file__).parent.parent.parent
Prepare = Callable[..., Dataset]


def write(path: Path, rows: range) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("year,value\n" + "".join(f"{t},{t / 10}\n" for t in rows))


def test_splits_follow_each_other(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw/a.csv", range(100))
    data = prepare(series())
    parts = [data.split(name).tensor[:, 0] * 10 for name in ("train", "val", "gate", "test")]
    assert torch.cat(parts).round().tolist() == list(range(100))
    assert data.meta["names"] == ["value"]
    assert data.spec.cond_shape == (4, 1)


def test_windows_follow_their_past(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw/a.csv", range(100))
    data = prepare(series())
    for name, start in (("train", 4), ("val", None)):
        split = data.split(name)
        batch = split.eval_batch(torch.arange(len(split)))
        assert batch.cond is not None
        assert len(split) == data.meta["counts"][name]
        both = torch.cat([batch.cond, batch.x], 1)[..., 0].double().numpy() * 10
        np.testing.assert_allclose(np.diff(both, axis=1), 1, atol=1e-4)
        first = split.tensor[0, 0].item() * 10 if start is None else start
        assert both[0, 4] == pytest.approx(first, abs=1e-4)
        assert len(split.train_batch(torch.tensor([split.positions - 1])).x) == 1


def test_rows_that_arrive_extend_the_last_split(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw/a.csv", range(100))
    before = prepare(series()).meta["counts"]
    write(tmp_path / "inbox/b.csv", range(95, 120))  # five rows of it are there already
    data = prepare(series())
    assert data.split("test").tensor[:, 0].mul(10).round().tolist()[-25:] == list(range(95, 120))
    assert {**data.meta["counts"], "test": 0} == {**before, "test": 0}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("7,high", "expected a number, got 'high'"),
        ("7,", "expected a value, got none"),
        ("7,nan", "expected a value, got none"),
        ("7,1,2", "expected 2 cells, as in the header, got 3"),
    ],
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
    with pytest.raises(UserError, match=r"a\.csv: .*got no rows"):
        prepare(series())


def test_the_past_may_be_numbered(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw/a.csv", range(100))
    data = prepare(series(numbered=True))
    assert (data.spec.shape, data.spec.cond_shape) == ((5, 1), (4, 2))
    for name in ("train", "val", "gate", "test"):
        batch = data.split(name).train_batch(torch.arange(3))
        assert batch.cond is not None
        assert torch.allclose(batch.cond[..., 0] * 10, batch.cond[..., 1], atol=1e-5)  # values are a tenth of the time
        assert batch.x.shape == (3, 5, 1)


def test_errors_are_measured_by_the_season_of_train(tmp_path: Path, prepare: Prepare) -> None:
    value = [10 * (t % 4) + 0.5 * t for t in range(200)]
    (tmp_path / "raw").mkdir()
    rows = "".join(f"{t},{v if t < 120 else 7 * v}\n" for t, v in enumerate(value))  # train is 40%
    (tmp_path / "raw/a.csv").write_text("t,value\n" + rows)
    found, told = prepare(series(context=10)), prepare(series(context=10, season=3), out="told")
    split = found.split("test")
    assert (split.season, split.scale.tolist()) == (4, [2.0])  # four rows later it is 4 x 0.5 higher
    assert told.split("val").season == 3


def test_columns_can_be_chosen(tmp_path: Path, prepare: Prepare) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/a.csv").write_text("t,a,b,c\n" + "".join(f"{t},{t},{2 * t},text\n" for t in range(100)))
    data = prepare(series(columns=("b", "a")))
    assert data.meta["names"] == ["b", "a"] and data.meta["declared"]["columns"] == ["b", "a"]
    assert torch.equal(data.split("train").tensor[:, 0], 2 * data.split("train").tensor[:, 1])
    with pytest.raises(UserError, match=r"a.csv: expected columns d, got a, b, c"):
        prepare(series(columns=("d",)))


def test_quarters_and_years_of_months_are_read(tmp_path: Path) -> None:
    quarters = tmp_path / "q.csv"
    quarters.write_text("year,quarter,a\n1969,4,1\n1970,1,2\n1970,2,3\n")
    found = time_csv.read_series(quarters)
    assert found.names == ("a",) and found.rows.tolist() == [[-3, 1], [0, 2], [3, 3]]
    quarters.write_text("year,quarter,a\n1969,5,1\n")
    with pytest.raises(UserError, match=r"q.csv:2: column quarter: expected 1 to 4, got '5'"):
        time_csv.read_series(quarters)
    months = tmp_path / "m.csv"
    head = "YEAR,JAN,FEB,MAR,APR,MAY,JUN,JUL,AUG,SEP,OCT,NOV,DEC"
    months.write_text(f"{head}\n1970,{','.join(map(str, range(12)))}\n1971,{','.join(map(str, range(12, 23)))},\n")
    found = time_csv.read_series(months)
    assert found.rows[:23].tolist() == [[t, t] for t in range(23)] and np.isnan(found.rows[23, 1])
    assert found.lines[12] == 3
    months.write_text(f"{head}\n1970,x{',1' * 11}\n")
    with pytest.raises(UserError, match=r"m.csv:2: column value: expected a number, got 'x'"):
        time_csv.read_series(months)


@pytest.mark.parametrize("name", ["co2", "elnino", "macrodata"])
def test_series_of_statsmodels(name: str, tmp_path: Path) -> None:
    dataset = resolve.load_params(ROOT / "params.yaml").datasets[name]
    catalog.fetch(dataset, tmp_path / "raw", downloads=tmp_path / "downloads")
    preparation.prepare(tmp_path / "raw", tmp_path / "inbox", tmp_path / "out", dataset, 20)
    data = Dataset(tmp_path / "out")
    assert min(data.meta["counts"].values()) >= 7
    expected = {"co2": (52, 1), "elnino": (12, 1), "macrodata": (0, 3)}
    split = data.split("train")
    assert (split.season, split.spec.shape[1]) == expected[name]
    assert bool(split.tensor.isnan().any()) == (name == "co2")


def test_too_short(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw/a.csv", range(12))
    with pytest.raises(UserError, match="expected items in split"):
        prepare(series())


def test_one_block_is_refused_unless_the_entry_says_so(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw/a.csv", range(60))
    with pytest.raises(UserError, match=r"expected 2 groups or more in split val, got 1 .* a smaller window"):
        prepare(series(window=9))
    few = config.Shares(val=0.2, gate=0.2, test=0.2, few_groups=True)
    data = prepare(series(window=9, split=few))
    assert [int(data.split(name).groups.max()) for name in ("val", "gate", "test")] == [0, 0, 0]
    assert data.meta["counts"]["gate"] == 2


def test_levels_are_for_images(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw/a.csv", range(100))
    with pytest.raises(UserError, match=r"data\.levels: expected no value for a SeriesSplit, got 2"):
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
