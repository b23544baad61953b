"""The leaderboard: a table a data set, a row an experiment and a baseline, from what the other stages wrote."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from genfoundry.evaluation.objectives import OBJECTIVES
from genfoundry.evaluation.yardstick import FIGURES, Figure
from genfoundry.files import read_json, write_bytes, write_json
from genfoundry.selection import references

Row = dict[str, Any]
Key = tuple[str, str, str, int]  # data set, levels, binarisation, labels: what a table's rows have in common
# Abilities whose figures are columns; those of others stand on the model's page, unless a task may be ranked by them.
TABLED = ("likelihood", "samples", "labels", "classify", "forecast", "translate")
COLUMNS = tuple(f.name for f in FIGURES.values() if f.needs in TABLED or f.name in OBJECTIVES)
INTERVALS = (  # what they say
    "A 95% interval says where the figure would be on other data of the kind: it is over independent groups of items "
    "(a play, a region, a block; else the item itself), at this one training. For precision, recall, density, coverage "
    "and 1-NN it is at fixed neighbourhoods; for a distance of samples that is about as large as its noise it may hold "
    "90% only."
)


def leaderboard(scores: Path, baselines: Path, ranking: Path) -> dict[str, Any]:
    """The figures on test of every experiment and trivial model.

    Args:
        scores: reports/scores, with <dataset>/<experiment>/card.json.
        baselines: reports/baselines, with <task>/card.json.
        ranking: reports/ranking, with <task>.json.

    Returns:
        {"tables": [{"dataset", "levels", "binarise", "labels", "data", "judge", "n", "frechet_n", "columns", "over",
        "rows", "notes", "remarks", "bars"}]}; "over" says of each column how many items it is of, in how
        many independent groups;
        tables and rows in a fixed order (the rows by the first column that has figures, best first), "best_of" of a row
        the tasks whose ranking on val it leads, "absent" why it lacks a figure, "seeds" the spread over training
        seeds; "notes" of a table say of which task the order is not supported by them, or not known to be; its
        "remarks" what the items are short of that all figures rest on; "bars" of
        which task the best candidate loses to references on gate ("loses_to"), so that it cannot be the champion.
    """
    rankings = [read_json(path) for path in sorted(ranking.glob("*.json"))]
    tables: dict[Key, dict[str, Any]] = {}
    for card in [read_json(p) for p in sorted(scores.glob("*/*/card.json"))]:
        name, table = card["experiment"], _table(tables, card)
        led = [content for content in rankings if [c["experiment"] for c in content["candidates"][:1]] == [name]]
        table["notes"] += [{k: c.get(k) for k in ("task", "supported", "note")} for c in led if c.get("note")]
        table["bars"] += [bar for content in led if (bar := _bar(content, card, baselines))["loses_to"]]
        table["rows"][name] = {
            **{key: card[key] for key in ("model", "digest", "likelihood")},
            **{"kind": "experiment", "name": name, "best_of": [content["task"] for content in led]},
            "figures": card["figures"]["test"],
            **{"absent": card.get("absent", {}), "seeds": card.get("seeds", {"n": 1, "spread": {}})},
            "notes": card.get("notes", []),
        }
    for card in [read_json(p) for p in sorted(baselines.glob("*/card.json"))]:
        rows = {name: row for name, row in card["rows"].items() if "test" in row["figures"]}
        table = _table(tables, card)
        table["remarks"] = list(dict.fromkeys([*table["remarks"], *card.get("remarks", [])]))
        for name, row in rows.items():
            # Tasks on the same data share trivial models: one row, with the figures that either asked for.
            there = table["rows"]
            there[name] = {
                **{"kind": row["role"], "name": name, "model": None, "digest": None, "best_of": [], "seeds": None},
                **{"likelihood": row["likelihood"], "absent": row.get("absent", {})},
                "figures": {**there.get(name, {}).get("figures", {}), **row["figures"]["test"]},
            }
    return {"tables": [_ordered(tables[key]) for key in sorted(tables)]}


def _bar(ranking: Mapping[str, Any], card: Mapping[str, Any], baselines: Path) -> dict[str, Any]:
    """What the best candidate of a task does not beat."""
    rows, objective = references.read_baseline_rows(baselines / str(ranking["task"])), str(ranking.get("objective"))
    lost = references.find_gate_losses(rows, objective, card["figures"])
    return {"task": ranking["task"], "experiment": card["experiment"], "loses_to": lost}


def _table(tables: dict[Key, dict[str, Any]], card: Mapping[str, Any]) -> dict[str, Any]:
    about = {key: card.get(key) for key in ("dataset", "levels", "binarise", "labels", "data", "judge")}
    key = (str(about["dataset"]), str(about["levels"]), str(about["binarise"]), about["labels"] or 0)
    return tables.setdefault(key, {**about, "rows": {}, "notes": [], "remarks": [], "bars": []})


def _ordered(table: dict[str, Any]) -> dict[str, Any]:
    rows: list[Row] = [table["rows"][name] for name in sorted(table["rows"])]
    columns = [c for c in COLUMNS if any(c in row["figures"] for row in rows)]
    units = [c for c in columns if c in OBJECTIVES and OBJECTIVES[c].needs == ("nll",)]  # of one figure: the first
    columns = [c for c in columns if c not in units[1:]]

    def place(row: Row) -> tuple[int, float]:
        for i, column in enumerate(columns):
            if column in row["figures"]:
                return i, loss(FIGURES[column], row["figures"][column])
        return len(columns), 0.0

    counts = {k: max((r["figures"].get(k, 0) for r in rows), default=0) for k in ("n", "frechet_n")}
    said = {c: words for c in columns if (words := over(rows, c))}
    return {**table, **counts, "columns": columns, "over": said, "rows": sorted(rows, key=place)}


def over(rows: Iterable[Row], column: str) -> str:
    """How many items a column's figures are of, in how many independent groups, in words; "" where no row says it.

    The number that most rows have stands alone, any other beside the rows' names: what compresses a split as a whole
    has one item.
    """
    found: dict[str, list[str]] = {}
    for row in rows:
        if f"{column}_n" in (figures := row["figures"]):
            said = counted_items(int(figures[f"{column}_n"]), int(figures.get(f"{column}_groups", 0)))
            found.setdefault(said, []).append(row.get("name", ""))
    most, *others = sorted(found, key=lambda said: -len(found[said])) or [""]
    return "; ".join([most, *(f"{said} ({', '.join(found[said])})" for said in others)])


def counted_items(n: int, groups: int = 0) -> str:
    """ "100 items", "100 items in 8 independent groups": the number that an interval rests on."""
    items = f"{n:,} item" + "s" * (n != 1)
    return items + (f" in {groups:,} independent group" + "s" * (groups != 1)) * (0 < groups < n)


def loss(figure: Figure, value: float) -> float:
    """How far a value is from good: the less the better, whichever way the figure points."""
    if figure.ideal is not None:
        return abs(value - figure.ideal)
    return value if figure.direction == "minimize" else -value


def interval(figures: Mapping[str, float], name: str) -> tuple[float, float] | None:
    """The 95% interval of a figure; None where it is not known, as over one independent group."""
    return (figures[f"{name}_low"], figures[f"{name}_high"]) if f"{name}_low" in figures else None


def points(figure: Figure) -> str:
    """Which way a figure points, in a word or two."""
    if figure.direction == "ideal":
        return f"{figure.ideal:g} is ideal"
    return "lower is better" if figure.direction == "minimize" else "higher is better"


def markdown(board: Mapping[str, Any]) -> str:
    """The leaderboard as Markdown."""
    return (
        "# Leaderboard\n\nFigures on `test`, ± half of a 95% interval; ranked on `val`, champions decided on `gate`. "
        f"{INTERVALS}\n" + "".join("\n" + "\n".join(_section(table)) + "\n" for table in board["tables"])
    )


def _section(table: Mapping[str, Any]) -> Iterator[str]:
    levels = f", {table['levels']} levels" if table["levels"] else ""
    binarise = f", binarised ({table['binarise']})" if table["binarise"] else ""
    labels = f", {table['labels']:,} labels" if table["labels"] else ""
    yield f"## {table['dataset']}{levels}{binarise}{labels}\n"
    shown = [FIGURES[c] for c in table["columns"]]
    said = table["over"]
    units = [f"{f.title} ({', '.join(filter(None, (f.unit, points(f), said.get(f.name))))})" for f in shown]
    yield "| model | kind | likelihood | " + " | ".join(units) + " | best on val for |"
    yield "|---|---|---|" + "---:|" * len(units) + "---|"
    for row in table["rows"]:
        cells = [_cell(row, column) for column in table["columns"]]
        name = f"**{row['name']}**" if row["kind"] == "experiment" else row["name"]
        name += "".join(f" ({note})" for note in row.get("notes", ()))
        yield "| " + " | ".join([name, row["kind"], row["likelihood"], *cells, ", ".join(row["best_of"])]) + " |"
    notes = [f"data {str(table['data'])[:12]}", f"{table['n']:,} items"]
    if table["judge"] and table["frechet_n"]:
        hits, kind = table["judge"]["accuracy"], table["judge"].get("kind", "classes")
        about = f"trained on {kind}" + (f", accuracy {hits:.1%}" if hits is not None else "")
        notes.append(f"of samples: n = {table['frechet_n']:,}, judge {table['judge']['digest'][:12]} ({about})")
    yield "\n" + "; ".join(notes + table.get("remarks", [])) + "."
    yield from (f"\n{note['task']}: {note['note']}." for note in table["notes"])
    for bar in table["bars"]:
        yield (
            f"\n{bar['task']}: {bar['experiment']}, the best on val, cannot be its champion: on gate it loses to "
            f"{references.describe_losses(bar['loses_to'])}."
        )


def _cell(row: Row, column: str) -> str:
    if column not in row["figures"]:
        return "-"
    value, around = row["figures"][column], interval(row["figures"], column)
    return f"{value:.4g}" + (f" ± {(around[1] - around[0]) / 2:.2g}" if around else "")


def write(scores: Path, baselines: Path, ranking: Path, out: Path) -> None:
    """leaderboard.json and leaderboard.md in the folder `out`."""
    board = leaderboard(scores, baselines, ranking)
    write_json(out / "leaderboard.json", board)
    write_bytes(out / "leaderboard.md", markdown(board).encode())
