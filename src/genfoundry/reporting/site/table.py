"""A leaderboard's table, ready to print: every cell a figure with its interval, or the reason why there is none."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genfoundry.evaluation.yardstick import FIGURES, Figure
from genfoundry.reporting import leaderboard
from genfoundry.reporting.site.render import fixed, number

DIGITS = 2  # of a typical interval that are worth showing
MOST = 5  # decimals
LACKS = {  # an ability that a row which was not trained has no figure of -> why
    "samples": "no samples",
    "labels": "no samples of a class",
    "forecast": "no forecast",
    "classify": "tells no classes",
    "translate": "does not translate",
    "restore": "does not restore",
    "complete": "does not complete",
}


@dataclass(frozen=True)
class Cell:
    """One figure of one row. `value` None: there is none, and `shown` and `says` tell why."""

    value: float | None
    shown: str
    around: str
    seeds: str
    says: str
    best: bool = False


@dataclass(frozen=True)
class Row:
    """One model, trained or trivial, with a cell a column."""

    name: str
    model: str | None
    kind: str
    likelihood: str
    best_of: Sequence[str]
    seeds: int | None
    cells: Sequence[Cell]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Table:
    """The models of one data set at one number of levels, one binarisation and one number of labels."""

    title: str
    columns: Sequence[Figure]
    rows: Sequence[Row]
    notes: Sequence[Mapping[str, Any]]
    stated: Sequence[str]
    over: Mapping[str, str]  # a figure's name -> how many items it is of, in how many independent groups


def table(content: Mapping[str, Any]) -> Table:
    """A table of leaderboard.json."""
    rows = content["rows"]
    columns = [_column(FIGURES[name], rows) for name in content["columns"]]
    made = [
        Row(
            **{key: row[key] for key in ("name", "model", "kind", "likelihood", "best_of")},
            seeds=(row.get("seeds") or {}).get("n"),
            cells=[column[i] for column in columns],
            notes=row.get("notes", ()),
        )
        for i, row in enumerate(rows)
    ]
    how = [f"{content['levels']} levels"] if content["levels"] else []
    how += [f"binarised ({content['binarise']})"] if content["binarise"] else []
    how += [f"{content['labels']:,} labels"] if content.get("labels") else []
    figures = [FIGURES[name] for name in content["columns"]]
    return Table(", ".join(how), figures, made, content.get("notes", ()), _stated(content), content.get("over", {}))


def _stated(content: Mapping[str, Any]) -> list[str]:
    """What figures are stated with."""
    found = [f"{content['n']:,} items of test"] if content["n"] else []
    if content["frechet_n"]:
        found.append(f"figures of samples at n = {content['frechet_n']:,} generated against as many real ones")
    return [*found, f"data {str(content['data'])[:12]}", *content.get("remarks", [])]


def _column(figure: Figure, rows: Sequence[Mapping[str, Any]]) -> list[Cell]:
    """One cell a row, all with as many decimals."""
    around = [leaderboard.interval(row["figures"], figure.name) for row in rows]
    values = [row["figures"].get(figure.name) for row in rows]
    decimals = places(values, [(high - low) / 2 for low, high in filter(None, around)])
    ours = [leaderboard.loss(figure, v) for v, row in zip(values, rows, strict=True) if _runs(row) and v is not None]
    best = min(ours, default=math.nan)
    return [
        _cell(figure, row, value, reach, decimals, best) for row, value, reach in zip(rows, values, around, strict=True)
    ]


def _runs(row: Mapping[str, Any]) -> bool:
    """Whether a row competes: a model that was trained, not an anchor."""
    return bool(row["kind"] == "experiment")


def places(values: Sequence[float | None], halves: Sequence[float]) -> int:
    """Decimals for a column: two digits of a typical interval's half, else four digits of a typical value."""
    halves = [h for h in halves if h > 0]
    typical = statistics.median(halves) if halves else 0.0
    digits = DIGITS
    if not typical:
        known = [abs(v) for v in values if v]
        typical, digits = (statistics.median(known), 2 * DIGITS) if known else (1.0, 1)
    return min(max(digits - 1 - math.floor(math.log10(typical)), 0), MOST)


def _cell(
    figure: Figure,
    row: Mapping[str, Any],
    value: float | None,
    around: tuple[float, float] | None,
    decimals: int,
    best: float,
) -> Cell:
    if value is None:
        why = row.get("absent", {}).get(figure.name) or _why(figure, row)
        return Cell(None, re.split(r"[,;:(]", why)[0].strip(), "", "", f"{figure.title}: {why}")
    says, reach = f"{figure.title} {value:.6g}", ""
    if around:
        reach = f"± {fixed((around[1] - around[0]) / 2, decimals)}"
        says += f", 95% interval {around[0]:.6g} to {around[1]:.6g}"
    seeds = row.get("seeds") or {}
    spread = seeds.get("spread", {}).get(figure.name)
    over = f"sd {number(spread, 2)} over {seeds['n']} seeds" if spread is not None else ""
    won = _runs(row) and leaderboard.loss(figure, value) == best
    return Cell(value, fixed(value, decimals), reach, over, "; ".join(filter(None, (says, over))), won)


def _why(figure: Figure, row: Mapping[str, Any]) -> str:
    """Why a row has no such figure, where its card does not say."""
    if figure.needs == "likelihood" and row["likelihood"] == "none":
        return "no likelihood"
    if not _runs(row) and not any(FIGURES[name].needs == figure.needs for name in row["figures"] if name in FIGURES):
        return LACKS.get(figure.needs, "not measured")
    return "not measured"
