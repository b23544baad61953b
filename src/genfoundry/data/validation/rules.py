"""Validation rules: those that `config.Expect` declares for a description table, and the columns that they look at."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genfoundry.splits import SPLITS

if TYPE_CHECKING:
    import pandas as pd

    from genfoundry.config import Expect

SHOWN = 3


@dataclass(frozen=True)
class Rule:
    """One expectation: its name in Great Expectations, its arguments, and its meaning in words.

    `split` restricts it to the rows of one split. A rule that only `counts` cannot fail.
    """

    says: str
    name: str
    column: str
    bounds: dict[str, Any]
    split: str | None = None
    counts: bool = False

    @property
    def expected(self) -> str:
        low, high = (None if (v := self.bounds.get(k)) is None else f"{v:g}" for k in ("min_value", "max_value"))
        if self.counts:
            return "counted only"
        if "value_set" in self.bounds:
            words = [str(v) for v in self.bounds["value_set"]]
            return ", ".join(words if len(words) <= SHOWN + 1 else [*words[:2], "...", words[-1]])
        if self.bounds.get("strictly"):
            return "strictly increasing"
        if low is None and high is None:
            return "a value in every row"
        if low == high:
            return f"exactly {low}"
        return f"at most {high}" if low is None else f"at least {low}" if high is None else f"{low} to {high}"


def rules(expect: Expect, columns: Collection[str] = ()) -> list[Rule]:
    """Return the expectations that `expect` declares, those of every data set, and counts of `columns`."""
    always = [*_always(expect), *_values(expect), *_labels(expect), *_samples(expect), *_times(expect)]
    return [*always, *_gaps(expect, columns)]


def _always(expect: Expect) -> Iterator[Rule]:
    yield Rule("known splits", "ExpectColumnValuesToBeInSet", "split", {"value_set": list(SPLITS)})
    yield Rule("a content hash a row", "ExpectColumnValuesToNotBeNull", "digest", {})
    for split, (low, high) in sorted(expect.rows.items()):
        bounds = {"min_value": low, "max_value": high}
        yield Rule(f"rows in {split}", "ExpectTableRowCountToBeBetween", "split", bounds, split=split)
    if expect.finite:
        yield Rule("finite values", "ExpectColumnValuesToBeInSet", "finite", {"value_set": [True]})


def _values(expect: Expect) -> Iterator[Rule]:
    between = "ExpectColumnValuesToBeBetween"
    if expect.values is not None:
        yield Rule("least value of a sample", between, "min", {"min_value": expect.values[0]})
        yield Rule("greatest value of a sample", between, "max", {"max_value": expect.values[1]})
    if expect.length is not None:
        low, high = expect.length
        yield Rule("length of a sample", between, "length", {"min_value": low, "max_value": high})


def _labels(expect: Expect) -> Iterator[Rule]:
    if expect.labels is not None:
        classes = list(range(expect.labels))
        yield Rule("known labels", "ExpectColumnValuesToBeInSet", "label", {"value_set": classes})
        present = "ExpectColumnDistinctValuesToContainSet"
        yield Rule("every class in train", present, "label", {"value_set": classes}, split="train")
    if expect.balance is not None:
        says = "rows of a class in train / mean over classes"
        yield Rule(says, "ExpectColumnMinToBeBetween", "class_balance", {"min_value": expect.balance})


def _samples(expect: Expect) -> Iterator[Rule]:
    total = "ExpectColumnSumToBeBetween"
    if expect.constant is not None:
        yield Rule("constant samples", total, "constant", {"max_value": expect.constant})
    if expect.unknown is not None:
        yield Rule("characters outside the alphabet", total, "unknown", {"max_value": expect.unknown})
    longer = f" of length {expect.duplicates.longer} or more" if expect.duplicates and expect.duplicates.longer else ""
    if expect.duplicates is not None:
        allowed = {"max_value": expect.duplicates.across}
        yield Rule(f"samples{longer} again in another split", total, "duplicate_across_splits", allowed)
    says = f"samples{longer} again in the same split"
    yield Rule(says, total, "duplicate_within_split", {"min_value": 0}, counts=True)


def _times(expect: Expect) -> Iterator[Rule]:
    if expect.order:
        yield Rule("a time in every row", "ExpectColumnValuesToNotBeNull", "time", {})
        yield Rule("order of times", "ExpectColumnValuesToBeIncreasing", "time", {"strictly": True})
    if expect.gap is not None:
        yield Rule("step from the time before", "ExpectColumnValuesToBeBetween", "step", {"max_value": expect.gap})


def _gaps(expect: Expect, columns: Collection[str]) -> Iterator[Rule]:
    total, bounds = "ExpectColumnSumToBeBetween", {"min_value": 0}
    limit = bounds if expect.filled is None else {"max_value": expect.filled}
    if "filled" in columns or expect.filled is not None:
        yield Rule("missing cells filled in", total, "filled", limit, counts=expect.filled is None)
    if "absent" in columns or expect.absent is not None:
        allowed = bounds if expect.absent is None else {"max_value": expect.absent}
        yield Rule("missing cells kept", total, "absent", allowed, counts=expect.absent is None)
    if "dropped" in columns:
        yield Rule("rows left out", total, "dropped", bounds, counts=True)


def derive(frame: pd.DataFrame, expect: Expect) -> pd.DataFrame:
    """Return `frame` in the order of the splits, with the columns that no row has alone.

    A content that stands in k splits counts k - 1 times in `duplicate_across_splits`; `step` is the time since the row
    before, across splits too; `class_balance` is there on the rows of train that have a label.
    """
    rank = {split: number for number, split in enumerate(SPLITS)}
    frame = frame.assign(_rank=frame["split"].map(rank).fillna(len(SPLITS)))
    frame = frame.sort_values("_rank", kind="stable", ignore_index=True).drop(columns="_rank")
    counted = frame[frame["length"] >= (expect.duplicates.longer if expect.duplicates else 0)]
    # One row a content and split: what is left over twice is in two splits
    once = counted.drop_duplicates(["split", "digest"])
    labels = frame["label"].where((frame["split"] == "train") & (frame["label"] >= 0))
    sizes = labels.value_counts()
    # Over the declared classes, where there are any: one that is missing lowers the mean
    mean = sizes.sum() / (expect.labels or max(len(sizes), 1))
    return frame.assign(
        row=frame.groupby("split", sort=False).cumcount(),
        constant=(frame["distinct"] <= 1).astype("int64"),
        duplicate_across_splits=frame.index.isin(once.index[once["digest"].duplicated()]).astype("int64"),
        duplicate_within_split=frame.index.isin(counted.index.difference(once.index)).astype("int64"),
        step=frame["time"].diff(),
        class_balance=labels.map(sizes) / mean,
    )


def unmet(frame: pd.DataFrame, checks: Iterable[Rule]) -> list[Rule]:
    """Return the rules that a derived table does not meet, as Great Expectations would, without importing it."""
    return [rule for rule in checks if not rule.counts and not _holds(rule, frame)]


def _holds(rule: Rule, frame: pd.DataFrame) -> bool:
    rows = frame[frame["split"] == rule.split] if rule.split else frame
    # Great Expectations leaves empty cells out of all rules but that on empty cells
    column = rows[rule.column].dropna()
    if rule.name == "ExpectColumnValuesToBeInSet":
        return bool(column.isin(rule.bounds["value_set"]).all())
    if rule.name == "ExpectColumnDistinctValuesToContainSet":
        return set(rule.bounds["value_set"]) <= set(column)
    if rule.name == "ExpectColumnValuesToNotBeNull":
        return len(column) == len(rows)
    if rule.name == "ExpectColumnValuesToBeIncreasing":
        return bool((column.diff().dropna() > 0).all())
    # The rule's name says what is measured; of none of these it is each value of the column
    measured = {"TableRowCount": len(rows), "ColumnMin": column.min(), "ColumnSum": column.sum()}
    value = next((value for what, value in measured.items() if what in rule.name), column)
    low, high = (rule.bounds.get(key, default) for key, default in (("min_value", -math.inf), ("max_value", math.inf)))
    return bool(((value >= low) & (value <= high)).all() if value is column else low <= value <= high)
