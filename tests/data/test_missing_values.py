"""Gaps in series: refused or filled as declared, counted, and never from a later split."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from raw_folders import series

from genfoundry.config import Expect, check
from genfoundry.data.dataset import Dataset
from genfoundry.data.readers import time_csv
from genfoundry.data.transforms import missing_values
from genfoundry.data.validation.great_expectations import validate
from genfoundry.errors import UserError
from genfoundry.evaluation.aggregate import aggregate
from genfoundry.evaluation.context import SplitContext
from genfoundry.evaluation.predict import predict, score
from genfoundry.models import checkpoint
from genfoundry.models.linear_ar import LinearAr
from genfoundry.serving import score_file
from genfoundry.serving.predictor import Predictor
from genfoundry.splits import SPLITS

Prepare = Callable[..., Dataset]
NAN = float("nan")


def write(path: Path, cells: dict[str, list[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = zip(*cells.values(), strict=True)
    path.write_text("\n".join([",".join(cells), *(",".join(row) for row in rows)]) + "\n")


def two(holes: dict[str, list[int]], rows: int = 100) -> dict[str, list[str]]:
    """Two columns, ten times the time and its square, with empty cells."""
    columns = {"a": [f"{10 * t}" for t in range(rows)], "b": [f"{t * t}" for t in range(rows)]}
    for name, empty in holes.items():
        for t in empty:
            columns[name][t] = ""
    return {"t": [str(t) for t in range(rows)], **columns}


def whole(data: Dataset) -> np.ndarray:
    return torch.cat([data.split(name).tensor for name in SPLITS]).numpy()


def column(values: list[float], where: str, how: str) -> list[float]:
    """One column filled; `where` has a letter a row for its split."""
    rows = np.stack([np.arange(len(values), dtype=float), np.array(values)], 1)
    filled = missing_values.fill_missing(rows, np.array(list(where)), how, "x")
    return filled.rows[:, 1].tolist()


def test_fills_within_and_across_a_border() -> None:
    values = [1.0, NAN, 3.0, NAN, NAN, 9.0, NAN, 11.0, NAN]
    assert column(values, "aaaaaaaaa", "forward") == [1, 1, 3, 3, 3, 9, 9, 11, 11]
    assert column(values, "aaaaaaaaa", "interpolate") == [1, 2, 3, 5, 7, 9, 10, 11, 11]
    # The last of split a has no later value of its own: it keeps 3. Split b may look back at a, never ahead of itself.
    assert column(values, "aaaabbbcc", "interpolate") == [1, 2, 3, 3, 7, 9, 9, 11, 11]


def test_a_straight_line_is_straight_in_time() -> None:
    rows = np.array([[0.0, 0.0], [1.0, NAN], [10.0, 10.0]])
    filled = missing_values.fill_missing(rows, np.array(list("aaa")), "interpolate", "x")
    assert filled.rows[:, 1].tolist() == [0, 1, 10]


@pytest.mark.parametrize("how", ["interpolate", "forward"])
def test_no_fill_looks_into_a_later_split(tmp_path: Path, prepare: Prepare, how: str) -> None:
    """Other values in later splits change nothing in earlier ones, wherever the holes are."""
    rng = np.random.default_rng(0)
    holes = {name: sorted(rng.choice(100, 40, replace=False).tolist()) for name in ("a", "b")}
    cells = two(holes)
    write(tmp_path / "raw/a.csv", cells)
    data = prepare(series(missing=how))
    for border, earlier in ((40, ["train"]), (60, ["train", "val"]), (80, ["train", "val", "gate"])):
        changed = {
            k: v if k == "t" else [c and str(-7 * i) if i >= border else c for i, c in enumerate(v)]
            for k, v in cells.items()
        }
        write(tmp_path / "raw/a.csv", changed)
        other = prepare(series(missing=how), out=f"other{border}")
        for name in earlier:
            assert torch.equal(data.split(name).tensor, other.split(name).tensor), (name, border)
        assert not torch.equal(data.split("test").tensor, other.split("test").tensor)


def test_what_is_filled_is_counted_in_the_verdict(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw/a.csv", two({"a": [0, 7, 8], "b": [8, 50]}))
    data = prepare(series(missing="interpolate"))
    rows = pd.read_parquet(data.folder / "describe.parquet")
    assert rows["time"].tolist() == list(range(1, 100))  # before the first value there is nothing to fill from
    assert rows.set_index("time")["filled"].sum() == 4 and rows["dropped"].tolist()[0] == 1
    assert whole(data)[6:8].tolist() == [[70, 49], [80, 65]]
    for expect, holds in (({"gap": 1, "order": True}, True), ({"filled": 4}, True), ({"filled": 3}, False)):
        verdict = tmp_path / "verdict.json"
        arguments = (data.folder, "toy", check(Expect, expect, "expect"), verdict, tmp_path / "docs")
        if not holds:
            with pytest.raises(UserError, match=r"missing cells filled in.*at most 3, observed 4"):
                validate(*arguments)
            continue
        validate(*arguments)
        seen = {e["column"]: e["observed"] for e in json.loads(verdict.read_text())["expectations"]}
        assert (seen["filled"], seen["dropped"]) == (4, 1)


def test_gaps_can_be_kept(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw/a.csv", two({"a": [0, 7, 8], "b": [8, 50]}))
    data = prepare(series(missing="keep", numbered=True))
    values = whole(data)
    assert np.argwhere(np.isnan(values)).tolist() == [[0, 0], [7, 0], [8, 0], [8, 1], [50, 1]]
    rows = pd.read_parquet(data.folder / "describe.parquet")
    assert rows["absent"].tolist()[:9] == [1, 0, 0, 0, 0, 0, 0, 1, 2] and rows["finite"].all()
    assert "filled" not in rows and np.isnan(rows["min"][8]) and rows["min"][7] == 49
    for expect, holds in (({"gap": 1, "values": [0, 9801]}, True), ({"absent": 5}, True), ({"absent": 4}, False)):
        arguments = (data.folder, "toy", check(Expect, expect, "expect"), tmp_path / "v.json", tmp_path / "docs")
        if holds:
            validate(*arguments)
            seen = {e["column"]: e["observed"] for e in json.loads((tmp_path / "v.json").read_text())["expectations"]}
            assert seen["absent"] == 5
            continue
        with pytest.raises(UserError, match=r"missing cells kept.*at most 4, observed 5"):
            validate(*arguments)


def test_a_likelihood_a_value_counts_the_values_that_are_there(tmp_path: Path, prepare: Prepare) -> None:
    """Of noise without memory the same with half of it missing, in figures and in what a served model says."""
    rng = np.random.default_rng(0)
    noise, half = rng.normal(size=800), rng.random(800) < 0.5
    found = {}
    for name, hidden in (("whole", np.zeros(800, bool)), ("half", half)):
        value = ["" if gone else repr(x) for x, gone in zip(noise.tolist(), hidden, strict=True)]
        write(tmp_path / "raw/a.csv", {"t": [str(t) for t in range(800)], "a": value})
        data = prepare(series(missing="keep"), out=name)
        model = LinearAr(data.spec, LinearAr.Config(order=1))
        model.begin("fit", data.split("train"))
        test = data.split("test")
        scores = score(predict(model, SplitContext(split=test, samples=1, seed=0)), SplitContext(split=test))
        found[name] = aggregate(scores, 5, "series", on_test=False)["nats"]
        checkpoint.save(
            tmp_path / f"model-{name}", model, {"meta": {"modality": "series", "declared": data.meta["declared"]}}
        )
        nats, values = score_file.score_items(
            tmp_path, tmp_path / "raw/a.csv", Predictor(tmp_path / f"model-{name}"), 0
        )
        assert values.sum() == (~hidden[4:799]).sum()
        found[f"{name}, served"] = nats.sum() / values.sum()
    assert list(found.values()) == pytest.approx([0.5 * math.log(2 * math.pi * math.e)] * 4, rel=0.08)


def test_rows_that_are_not_there_can_be_kept_missing(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw/a.csv", without(two({}), [5, 6]))
    values = whole(prepare(series(missing="keep", step=1.0)))
    assert len(values) == 100 and np.isnan(values[5:7]).all() and not np.isnan(values[7:]).any()


def test_rows_can_be_dropped(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw/a.csv", two({"a": [7, 8], "b": [8, 50, 99]}))
    data = prepare(series(missing="drop"))
    rows = pd.read_parquet(data.folder / "describe.parquet").set_index("time")
    assert sorted(set(range(100)) - set(rows.index)) == [7, 8, 50, 99]
    assert rows["dropped"].sum() == 4 and rows.loc[9, "dropped"] == 2 and rows["filled"].sum() == 0


def test_an_empty_cell_is_refused_unless_declared(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw/a.csv", two({"b": [50, 60]}))
    with pytest.raises(
        UserError, match=r"a.csv:52: column b: expected a value, got none \(2 are missing in all\); declare missing: "
    ):
        prepare(series())


def without(cells: dict[str, list[str]], rows: list[int]) -> dict[str, list[str]]:
    return {name: [c for i, c in enumerate(column) if i not in rows] for name, column in cells.items()}


def test_rows_that_are_not_there_are_put_in(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw/a.csv", without(two({}), [7, 8, 50]))
    with pytest.raises(
        UserError, match=r"a.csv: expected a row for time 7, got none; declare missing: .*, or leave step out"
    ):
        prepare(series(step=1.0))
    data = prepare(series(step=1.0, missing="interpolate"))
    rows = pd.read_parquet(data.folder / "describe.parquet").set_index("time")
    assert rows.index.tolist() == list(range(100)) and rows["filled"].sum() == 6
    assert whole(data)[[7, 8, 50]].tolist() == [[70, 36 + 15], [80, 36 + 30], [500, 2501]]
    write(tmp_path / "raw/a.csv", {k: [c if k != "t" or c != "9" else "9.5" for c in v] for k, v in two({}).items()})
    with pytest.raises(UserError, match=r"a.csv: expected times that grow by whole steps of 1, got 9.5 after 8"):
        prepare(series(step=1.0, missing="forward"))
    write(tmp_path / "raw/a.csv", two({}))
    with pytest.raises(
        UserError, match=r"a.csv: step: expected the time between most rows, got 0.001, which makes 99001 of 100"
    ):
        prepare(series(step=0.001, missing="forward"))


def dated(rows: int, by: Callable[[int], str]) -> dict[str, list[str]]:
    return {"when": [by(i) for i in range(rows)], "a": [str(i % 7) for i in range(rows)]}


def test_dates_are_days_or_seconds_or_months(tmp_path: Path, prepare: Prepare) -> None:
    def times(cells: dict[str, list[str]], **more: object) -> list[float]:
        write(tmp_path / "raw/a.csv", cells)
        data = prepare(series(**more))
        return pd.read_parquet(data.folder / "describe.parquet")["time"].tolist()

    days = times(dated(100, lambda i: str(date(1970, 1, 2) + timedelta(i))))
    assert days == list(range(1, 101))
    assert times(dated(100, lambda i: f"{date(1970, 1, 2) + timedelta(i):%Y%m%d}")) == days
    assert times(dated(100, lambda i: str(20200199 + i))) == list(range(20200199, 20200299))  # no date
    hours = times(dated(100, lambda i: f"1970-01-{1 + i // 24:02}T{i % 24:02}:00:00"))
    assert hours == [3600 * i for i in range(100)]
    assert times(dated(96, lambda i: f"1970-01-{1 + i // 24:02} {i % 24:02}:00+01:00"))[1] == 0
    months = dated(100, lambda i: f"{1971 + i // 12}-{1 + i % 12:02}-{28 + i % 2 if i % 12 != 1 else 28}")
    assert times(months, step="month") == [12 + i for i in range(100)]
    gap = {name: cells[:30] + cells[31:] for name, cells in months.items()}
    assert times(gap, step="month", missing="forward") == [12 + i for i in range(100)]
    assert times(dated(100, lambda i: f"{1971 + i // 12}-{1 + i % 12:02}"), step="month")[-1] == 111


BAD = [
    ("t,a\n2020-01-01,1\n2020-13-01,2\n", r":3: column t: expected a time \(an ISO date.*\), got '2020-13-01'"),
    ("t,a\n1,1\n2020-01-01,2\n", r":3: column t: expected a time \(a number\), got '2020-01-01'"),
    ("t,a\n2020-01-01,1\n2020-01-02 06:00,2\n", r":3: column t: expected a plain date, as in the first row"),
    ("t,a\n31.12.20,1\n", r":2: column t: expected a time .*a date such as 2024-05-31.*, got '31.12.20'.*two digits"),
    ("t,a\n,1\n", r":2: column t: expected a time, got none"),
    ("t,a\n1,inf\n", r":2: column a: expected a number, got 'inf'"),
    ("t,a\n1,1;5\n", r":2: column a: expected a number, got '1;5'"),
    ("t a\n1 1\n", r":1: .*commas, semicolons or tabs between, got one column"),
    ("t,a,a\n1,1,1\n", r":1: expected a different name for every column, got t, a, a"),
    ("t,a\n\n\n", r"no rows"),
    ("t,a\n1,\xe9\n", r": byte 6 is not UTF-8 \(line 2\); convert"),
]


@pytest.mark.parametrize(("content", "says"), BAD)
def test_a_bad_table_is_one_line(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "x.csv").write_bytes(content.encode("latin-1"))
    with pytest.raises(UserError, match=rf"x\.csv.*{says}") as refused:
        time_csv.read_series(tmp_path / "x.csv")
    assert "\n" not in str(refused.value)


def test_a_column_that_never_moves(tmp_path: Path, prepare: Prepare) -> None:
    cells = two({})
    write(tmp_path / "raw/a.csv", {**cells, "b": ["3"] * 50 + cells["b"][50:]})
    with pytest.raises(UserError, match=r"column b: expected values that vary, got 3 all through train"):
        prepare(series())
    write(tmp_path / "raw/a.csv", {**cells, "b": [""] * 100})
    with pytest.raises(UserError, match=r"a.csv: column b: expected values, got none at all"):
        prepare(series(missing="forward"))


def test_filling_wants_times_that_grow(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw/a.csv", two({"a": [5]}))
    write(tmp_path / "inbox/b.csv", {"t": ["50"], "a": ["1"], "b": ["1"]})
    with pytest.raises(UserError, match=r"a.csv: expected times that grow, got 50 after 99"):
        prepare(series(missing="forward"))


def test_a_column_may_be_empty_in_an_inbox(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw/a.csv", two({}))
    write(tmp_path / "inbox/b.csv", {"t": ["100", "101"], "a": ["7", "8"], "b": ["", ""]})
    assert whole(prepare(series(missing="interpolate")))[-2:].tolist() == [[7, 99 * 99], [8, 99 * 99]]
