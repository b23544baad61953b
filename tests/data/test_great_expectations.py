"""Synthetic description tables of each modality, good and bad, through the real Great Expectations."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from genfoundry.config import Expect, check
from genfoundry.data.validation.great_expectations import validate
from genfoundry.data.validation.rules import derive, rules, unmet
from genfoundry.errors import UserError
from genfoundry.splits import SPLITS

COUNTS = {"train": 60, "val": 10, "gate": 10, "test": 20}
ROWS = {split: [count, count] for split, count in COUNTS.items()}


def images(**columns: Any) -> pd.DataFrame:
    n = sum(COUNTS.values())
    rng = np.random.default_rng(0)
    base: dict[str, Any] = {
        "split": np.repeat(list(COUNTS), list(COUNTS.values())),
        "label": np.arange(n) % 4,
        "min": np.zeros(n),
        "max": np.full(n, 255.0),
        "mean": rng.random(n),
        "spread": 1 + rng.random(n),
        "length": np.full(n, 784),
        "distinct": np.full(n, 90),
        "unknown": np.zeros(n, dtype=np.int64),
        "time": np.full(n, np.nan),
        "finite": np.ones(n, dtype=bool),
        "digest": [f"{i:016x}" for i in range(n)],
        "source": ["train.gz"] * n,
    }
    return pd.DataFrame(base | columns)


def text() -> pd.DataFrame:
    lengths = 20 + np.arange(100) % 30
    return images(label=np.full(100, -1), length=lengths, min=np.full(100, 1.0), max=np.full(100, 70.0))


def series() -> pd.DataFrame:
    level = 50 + 40 * np.sin(np.arange(100.0))
    return images(label=np.full(100, -1), time=1700 + np.arange(100.0), min=level, max=level, length=np.ones(100, int))


EXPECT: dict[str, dict[str, Any]] = {
    "images": {"rows": ROWS, "values": [0, 255], "labels": 4, "balance": 0.9, "constant": 0, "duplicates": {}},
    "text": {"rows": ROWS, "length": [1, 200], "unknown": 0, "duplicates": {"longer": 40}},
    "series": {"rows": ROWS, "values": [0, 100], "order": True, "gap": 1},
}
TABLES = {"images": images, "text": text, "series": series}


class Site:
    """A prepared folder with a description table, and where the verdict and the page go."""

    def __init__(self, root: Path) -> None:
        self.prepared, self.verdict, self.docs = root / "prepared", root / "v.json", root / "v"
        self.page = self.docs / "index.html"
        self.prepared.mkdir()

    def run(self, frame: pd.DataFrame, expect: dict[str, Any]) -> None:
        frame.to_parquet(self.prepared / "describe.parquet")
        (self.prepared / "spec.json").write_text(json.dumps({"digest": "ab" * 32}))
        validate(self.prepared, "toy", check(Expect, expect, "expect"), self.verdict, self.docs)

    def refused(self, frame: pd.DataFrame, expect: dict[str, Any]) -> str:
        with pytest.raises(UserError) as caught:
            self.run(frame, expect)
        return str(caught.value)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def changed(frame: pd.DataFrame, row: int, **values: Any) -> pd.DataFrame:
    frame = frame.copy()
    for column, value in values.items():
        frame.loc[row, column] = value
    return frame


@pytest.mark.parametrize("modality", EXPECT)
def test_good_data_passes(site: Site, modality: str) -> None:
    site.run(TABLES[modality](), EXPECT[modality])
    verdict = json.loads(site.verdict.read_text())
    assert verdict["success"] and verdict["rows"] == COUNTS and verdict["data"] == "ab" * 32
    assert all(e["success"] for e in verdict["expectations"])
    assert not (site.docs / "failed.json").exists()


BAD = [
    ("images", {"row": 61, "max": 300.0}, "column max: expected at most 255, observed 1 of 100", "300.0 at val row 1"),
    ("images", {"row": 0, "min": -1.0}, "column min: expected at least 0, observed 1 of 100", "-1.0 at train row 0"),
    ("images", {"row": 5, "label": 7}, "column label: expected 0, 1, 2, 3, observed 1 of 100", "7 at train row 5"),
    ("images", {"row": 5, "label": -1}, "column label: expected 0, 1, 2, 3, observed 1 of 100", "-1 at train row 5"),
    ("images", {"row": 9, "distinct": 1}, "column constant: expected at most 0, observed 1", "train row 9 (train.gz)"),
    ("images", {"row": 9, "finite": False}, "column finite: expected True, observed 1 of 100", "train row 9"),
    ("images", {"row": 99, "digest": f"{3:016x}"}, "column duplicate_across_splits: expected at most 0, observed 1",
     "test row 19 (train.gz) = train row 3 (train.gz)"),
    ("images", {"row": 0, "split": "trian"}, "column split: expected train, val, gate, test, observed 1", "trian"),
    ("images", {"row": 0, "split": "val"}, "column split of train: expected exactly 60, observed 59", "rows in train"),
    ("text", {"row": 70, "length": 500}, "column length: expected 1 to 200, observed 1 of 100", "500 at gate row 0"),
    ("text", {"row": 2, "unknown": 3}, "column unknown: expected at most 0, observed 3", "train row 2"),
    ("series", {"row": 30, "time": 1729.0}, "column time: expected strictly increasing, observed 1 of", "1729.0"),
    ("series", {"row": 30, "time": np.nan}, "column time: expected a value in every row, observed 1 of", "row 30"),
    ("series", {"row": 99, "time": 1800.0}, "column step: expected at most 1, observed 1 of", "2.0 at test row 19"),
]  # fmt: skip


@pytest.mark.parametrize(("modality", "change", "line", "place"), BAD, ids=[line[:40] for _, _, line, _ in BAD])
def test_bad_data_is_refused(site: Site, modality: str, change: dict[str, Any], line: str, place: str) -> None:
    site.verdict.write_text("a verdict of other data")
    message = site.refused(changed(TABLES[modality](), **change), EXPECT[modality])
    told = [m for m in message.splitlines() if line in m]
    assert len(told) == 1 and told[0].startswith("toy: ") and place in told[0], message
    assert message.splitlines()[-1].endswith(f"Data Docs: {site.page}")
    assert not site.verdict.exists() and site.page.exists()
    assert not json.loads((site.docs / "failed.json").read_text())["success"]


def test_every_failure_has_its_line(site: Site) -> None:
    frame = images()
    frame.loc[frame["label"] == 3, "label"] = 2
    message = site.refused(frame[frame["split"] != "gate"], EXPECT["images"] | {"balance": 0.7, "values": [1, 254]})
    lines = message.splitlines()
    assert [m.split(": ")[1] for m in lines[:-1]] == [
        "rows in gate", "least value of a sample", "greatest value of a sample", "every class in train",
    ]  # fmt: skip
    assert "observed missing 3" in message and "4 expectations failed" in lines[-1]


def test_no_rows_at_all(site: Site) -> None:
    message = site.refused(images().head(0), EXPECT["images"])
    assert message.count("observed 0\n") == len(SPLITS) and "observed missing 0, 1, 2, 3" in message


def test_balance(site: Site) -> None:
    frame = images()
    frame.loc[(frame["label"] == 3) & (frame.index < 40), "label"] = 0
    message = site.refused(frame, EXPECT["images"])
    assert "column class_balance: expected at least 0.9, observed 0.333" in message


def test_duplicates_within_a_split_are_counted_not_refused(site: Site) -> None:
    site.run(changed(images(), 5, digest=f"{3:016x}"), EXPECT["images"])
    verdict = json.loads(site.verdict.read_text())
    assert verdict["duplicates_within"] == 1
    assert "samples again in the same split" in site.page.read_text()


def test_short_lines_may_repeat(site: Site) -> None:
    frame = text()
    assert frame.loc[0, "length"] < 40 <= frame.loc[20, "length"]
    site.run(changed(frame, 90, digest=frame.loc[0, "digest"], length=20), EXPECT["text"])
    assert "1, e.g." in site.refused(changed(frame, 90, digest=frame.loc[20, "digest"], length=40), EXPECT["text"])


def test_derived_columns_do_not_depend_on_the_order_of_splits() -> None:
    frame = series()
    shuffled = pd.concat([frame[frame["split"] == s] for s in reversed(SPLITS)], ignore_index=True)
    expect = check(Expect, EXPECT["series"], "expect")
    pd.testing.assert_frame_equal(derive(frame, expect), derive(shuffled, expect))


def test_a_column_of_another_type_is_a_failure_not_a_crash(site: Site) -> None:
    message = site.refused(images(max=["white"] * 100), EXPECT["images"])
    assert "column max: expected at most 255, observed not evaluated: " in message


def test_no_table(site: Site) -> None:
    with pytest.raises(UserError, match=r"describe\.parquet: expected a description table"):
        validate(site.prepared, "toy", Expect(), site.verdict, site.docs)
    (site.prepared / "describe.parquet").write_bytes(b"PAR1 cut off")
    with pytest.raises(UserError, match=r"describe\.parquet: expected a description table"):
        validate(site.prepared, "toy", Expect(), site.verdict, site.docs)
    assert "got none of digest" in site.refused(images().drop(columns="digest"), {})


def test_the_page_asks_nothing_of_the_outside(site: Site) -> None:
    site.refused(
        changed(images(source=["<script src='http://x.test/a.js'></script>"] * 100), 0, max=300.0), EXPECT["images"]
    )
    page = site.page.read_text()
    assert "Content-Security-Policy" in page and "default-src 'none'" in page
    assert not re.search(r"<(script|link|img|iframe|object|form)\b|url\(|@import|https?://(?!x\.test)", page)
    assert re.search(r">1 of \d+ expectations failed<", page)
    assert page.count("✗") == 1 and page.count("✓") > 5
    assert "300.0 at train row 0" in page and "&lt;script src=" in page


def test_same_bytes_in_another_process(site: Site, tmp_path: Path) -> None:
    site.run(images(), EXPECT["images"])
    code = (
        "import sys, json; from pathlib import Path; from genfoundry.config import Expect, check\n"
        "from genfoundry.data.validation.great_expectations import validate\n"
        "validate(Path(sys.argv[1]), 'toy', check(Expect, json.loads(sys.argv[2]), 'x'), *map(Path, sys.argv[3:]))\n"
        "assert 'torch' not in sys.modules\n"
    )
    other = tmp_path / "other"
    command = [sys.executable, "-c", code, str(site.prepared), json.dumps(EXPECT["images"])]
    env = os.environ | {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"}
    done = subprocess.run([*command, str(other / "v.json"), str(other / "v")], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Calculating" not in done.stderr and "Traceback" not in done.stderr
    assert (other / "v.json").read_bytes() == site.verdict.read_bytes()
    assert not re.search(
        r"\d{4}-\d\d-\d\d|[0-9a-f]{8}-[0-9a-f]{4}|" + re.escape(str(tmp_path)), site.verdict.read_text()
    )


@pytest.mark.parametrize("number", range(len(BAD)))
def test_init_finds_the_failures_that_great_expectations_finds(site: Site, number: int) -> None:
    modality, change, *_ = BAD[number]
    frame, expect = changed(TABLES[modality](), **change), check(Expect, EXPECT[modality], "expect")
    site.refused(frame, EXPECT[modality])
    found = json.loads((site.docs / "failed.json").read_text())["expectations"]
    table = derive(frame, expect)
    failing = [rule.says for rule in unmet(table, rules(expect, table.columns))]
    assert failing == [entry["says"] for entry in found if not entry["success"]]


def test_init_finds_no_failure_in_good_data() -> None:
    for modality, make in TABLES.items():
        expect = check(Expect, EXPECT[modality], "expect")
        assert unmet(derive(make(), expect), rules(expect)) == []
