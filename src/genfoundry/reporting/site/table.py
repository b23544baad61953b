"""A leaderboard's table, ready to print: each cell has a metric with its interval, or the reason why there is none."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from genfoundry.reporting import leaderboard
from genfoundry.reporting.metric_info import GROUPS, METRICS, Metric
from genfoundry.reporting.site.rendering import fixed, number

INTERVAL_DIGITS = 2  # of a typical interval that are worth showing
MAX_DECIMALS = 5
Row = Mapping[str, Any]  # of leaderboard.json


@dataclass(frozen=True)
class Cell:
    """A metric of one row. Where `value` is None, `text` and `tooltip` say why."""

    value: float | None
    text: str
    tooltip: str
    interval: str = ""
    seeds: str = ""
    best: bool = False


def layout(table: Mapping[str, Any], objectives: Sequence[str] = ()) -> dict[str, Any]:
    """A table of leaderboard.json with cells and groups of columns; `objectives` are those of the data set's tasks."""
    names = order_columns(table["columns"], objectives)
    rows = leaderboard.sort_rows(table["rows"], names)
    columns = [METRICS[name] for name in names]
    cells = zip(*(_column(metric, rows) for metric in columns), strict=True) if columns else [()] * len(rows)
    caption = [f"{table['n']:,} test items"] if table["n"] else []
    if table["frechet_n"]:
        caption.append(f"sample metrics compare n = {table['frechet_n']:,} generated items with as many real ones")
    return {
        **{"title": leaderboard.title(table), "columns": columns, "notes": table.get("notes", ())},
        "rows": [{"notes": (), **row, "cells": of_row} for row, of_row in zip(rows, cells, strict=True)],
        "groups": [(GROUPS[group][0], len(list(m))) for group, m in groupby(columns, lambda metric: metric.group)],
        "caption": [*caption, f"data {str(table['data'])[:12]}", *table.get("remarks", [])],
        "over": table.get("over", {}),
    }


def order_columns(names: Sequence[str], objectives: Sequence[str]) -> list[str]:
    """Columns group by group: groups of objectives first, and an objective first in its group."""
    first = [name for name in objectives if name in names]
    groups = list(dict.fromkeys([*(METRICS[name].group for name in first), *GROUPS]))
    order = [*dict.fromkeys([*first, *names])]
    return sorted(order, key=lambda name: (groups.index(METRICS[name].group), order.index(name)))


def _column(metric: Metric, rows: Sequence[Row]) -> list[Cell]:
    """A cell per row, all with as many decimals."""
    values = [row["figures"].get(metric.name) for row in rows]
    intervals = [leaderboard.interval(row["figures"], metric.name) for row in rows]
    digits = decimals(values, [(high - low) / 2 for low, high in filter(None, intervals)])
    # A reference model, such as the copy of the training set, must not be marked as the best.
    trained = [v for v, row in zip(values, rows, strict=True) if v is not None and row["kind"] == "experiment"]
    best = min((metric.sort_key(value) for value in trained), default=math.nan)
    return [_cell(metric, row, digits, best) for row in rows]


def decimals(values: Sequence[float | None], half_widths: Sequence[float]) -> int:
    """Decimals for a column: two digits of a typical interval's half width, else four digits of a typical value."""
    if positive := [h for h in half_widths if h > 0]:
        # Digits below the interval's second are noise.
        typical, digits = statistics.median(positive), INTERVAL_DIGITS
    else:
        nonzero = [abs(v) for v in values if v]
        typical, digits = (statistics.median(nonzero), 2 * INTERVAL_DIGITS) if nonzero else (1.0, 1)
    return min(max(digits - 1 - math.floor(math.log10(typical)), 0), MAX_DECIMALS)


def _cell(metric: Metric, row: Row, digits: int, best: float) -> Cell:
    value = row["figures"].get(metric.name)
    if value is None:
        why = row.get("absent", {}).get(metric.name) or why_missing(metric, row)
        return Cell(None, re.split(r"[,;:(]", why)[0].strip(), f"{metric.title}: {why}")
    tooltip, half_width, seeds = f"{metric.title} {value:.6g}", "", ""
    if ends := leaderboard.interval(row["figures"], metric.name):
        half_width = f"± {fixed((ends[1] - ends[0]) / 2, digits)}"
        tooltip += f", 95% interval {ends[0]:.6g} to {ends[1]:.6g}"
    spread = (row.get("seeds") or {}).get("spread", {}).get(metric.name)
    if spread is not None:
        seeds = f"sd {number(spread, 2)} over {row['seeds']['n']} seeds"
        tooltip += f"; {seeds}"
    is_best = row["kind"] == "experiment" and metric.sort_key(value) == best
    return Cell(value, fixed(value, digits), tooltip, half_width, seeds, is_best)


def why_missing(metric: Metric, row: Row) -> str:
    """Why a row has no such metric, where its card does not say."""
    label = metric.requires.label
    if label == "likelihood" and row["likelihood"] == "none":
        return "no likelihood"
    # A row that has one metric of an ability could have had the others.
    able = any(METRICS[name].requires.label == label for name in row["figures"] if name in METRICS)
    return "not measured" if able or row["kind"] == "experiment" else metric.requires.reference
