"""The leaderboard: a table a data set, a row an experiment and a baseline, from what the other stages wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from genfoundry.checkpoint import read_json, write_bytes, write_json
from genfoundry.metrics import OBJECTIVES

Row = dict[str, Any]
COLUMNS = ("bits_per_dim", "nats_per_char", "nats", "mae", "dtw", "frechet")


def leaderboard(scores: Path, baselines: Path, ranking: Path) -> dict[str, Any]:
    """The figures on test of every experiment and trivial model.

    Args:
        scores: reports/scores, with <dataset>/<experiment>/card.json.
        baselines: reports/baselines, with <task>/card.json.
        ranking: reports/ranking, with <task>.json.

    Returns:
        {"tables": [{"dataset", "levels", "binarise", "data", "judge", "n", "frechet_n", "columns", "rows"}]}; tables
        and rows in a fixed order (the rows by the first column that has figures, best first), "best_of" of a row the
        tasks whose ranking on val it leads.
    """
    leads: dict[str, list[str]] = {}
    for path in sorted(ranking.glob("*.json")):
        content = read_json(path)
        for candidate in content["candidates"][:1]:
            leads.setdefault(candidate["experiment"], []).append(content["task"])
    tables: dict[tuple[str, str, str], dict[str, Any]] = {}
    for card in [read_json(p) for p in sorted(scores.glob("*/*/card.json"))]:
        _table(tables, card)["rows"][card["experiment"]] = {
            **{key: card[key] for key in ("model", "digest", "likelihood")},
            "kind": "experiment",
            "name": card["experiment"],
            "best_of": leads.get(card["experiment"], []),
            "figures": card["figures"]["test"],
        }
    for card in [read_json(p) for p in sorted(baselines.glob("*/card.json"))]:
        rows = {name: row for name, row in card["rows"].items() if "test" in row["figures"]}
        for name, row in rows.items():
            # Tasks on the same data have the same trivial models: one row, whichever task computed it.
            _table(tables, card)["rows"][name] = {
                **{"kind": row["role"], "name": name, "model": None, "digest": None, "best_of": []},
                "likelihood": row["likelihood"],
                "figures": row["figures"]["test"],
            }
    return {"tables": [_ordered(tables[key]) for key in sorted(tables)]}


def _table(tables: dict[tuple[str, str, str], dict[str, Any]], card: Mapping[str, Any]) -> dict[str, Any]:
    about = {key: card.get(key) for key in ("dataset", "levels", "binarise", "data", "judge")}
    key = (str(about["dataset"]), str(about["levels"]), str(about["binarise"]))
    return tables.setdefault(key, {**about, "rows": {}})


def _ordered(table: dict[str, Any]) -> dict[str, Any]:
    rows: list[Row] = [table["rows"][name] for name in sorted(table["rows"])]
    columns = [c for c in COLUMNS if any(c in row["figures"] for row in rows)]
    columns = [c for c in columns if c != "nats" or not {"bits_per_dim", "nats_per_char"} & set(columns)]

    def place(row: Row) -> tuple[int, float]:
        for i, column in enumerate(columns):
            if column in row["figures"]:
                sign = 1.0 if OBJECTIVES[column].direction == "minimize" else -1.0
                return i, sign * row["figures"][column]
        return len(columns), 0.0

    counts = {k: max((r["figures"].get(k, 0) for r in rows), default=0) for k in ("n", "frechet_n")}
    return {**table, **counts, "columns": columns, "rows": sorted(rows, key=place)}


def markdown(board: Mapping[str, Any]) -> str:
    """The leaderboard as Markdown."""
    return "# Leaderboard\n\nFigures on `test`, ± one standard error; lower is better.\n" + "".join(
        "\n" + "\n".join(_section(table)) + "\n" for table in board["tables"]
    )


def _section(table: Mapping[str, Any]) -> Iterator[str]:
    levels = f", {table['levels']} levels" if table["levels"] else ""
    binarise = f", binarised ({table['binarise']})" if table["binarise"] else ""
    yield f"## {table['dataset']}{levels}{binarise}\n"
    units = [f"{c} ({OBJECTIVES[c].unit})" for c in table["columns"]]
    yield "| model | kind | likelihood | " + " | ".join(units) + " | best on val for |"
    yield "|---|---|---|" + "---:|" * len(units) + "---|"
    for row in table["rows"]:
        cells = [_cell(row, column) for column in table["columns"]]
        name = f"**{row['name']}**" if row["kind"] == "experiment" else row["name"]
        yield "| " + " | ".join([name, row["kind"], row["likelihood"], *cells, ", ".join(row["best_of"])]) + " |"
    notes = [f"data {str(table['data'])[:12]}", f"{table['n']:,} items"]
    if table["judge"] and table["frechet_n"]:
        hits = table["judge"]["accuracy"]
        accuracy = f" (accuracy {hits:.1%})" if hits is not None else ""
        notes.append(f"Frechet distance: n = {table['frechet_n']:,}, judge {table['judge']['digest'][:12]}{accuracy}")
    yield "\n" + "; ".join(notes) + "."


def _cell(row: Row, column: str) -> str:
    if column not in row["figures"]:
        return "-"
    value, error = row["figures"][column], row["figures"].get(f"{column}_stderr")
    return f"{value:.4g}" + (f" ± {error:.2g}" if error is not None else "")


def write(scores: Path, baselines: Path, ranking: Path, out: Path) -> None:
    """leaderboard.json and leaderboard.md in the folder `out`."""
    board = leaderboard(scores, baselines, ranking)
    write_json(out / "leaderboard.json", board)
    write_bytes(out / "leaderboard.md", markdown(board).encode())
