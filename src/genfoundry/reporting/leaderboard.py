"""The leaderboard: one table per data set, one row per experiment and reference model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from genfoundry.files import read_json, write_bytes, write_json
from genfoundry.reporting.metric_info import METRICS
from genfoundry.selection import references

TableKey = tuple[str, str, str, int]  # data set, levels, binarisation, labels: what the rows of a table have in common
INTERVALS = (
    "A 95% interval says where the metric would lie on other data of the same kind: it is over independent groups of "
    "items (a play, a region, a block; else the item itself), for this one training. For precision, recall, density, "
    "coverage and 1-NN it is at fixed neighbourhoods; for a distance of samples that is about as large as its noise, "
    "its coverage may be only 90%."
)


def build(scores: Path, baselines: Path, ranking: Path) -> dict[str, Any]:
    """Collect the test metrics of every experiment and reference model.

    Args:
        scores: reports/scores, with <dataset>/<experiment>/card.json.
        baselines: reports/baselines, with <task>/card.json.
        ranking: reports/ranking, with <task>.json.

    Returns:
        {"tables": [{"dataset", "levels", "binarise", "labels", "data", "judge", "n", "frechet_n", "columns", "over",
        "rows", "notes", "remarks", "bars"}]}, tables and rows in a fixed order: rows by the first column that they
        have a value in, best first. Of a table, "over" maps a column to its number of items and independent groups;
        "notes" name tasks whose order the metrics do not support, or may not; "remarks" are limits of the data;
        "bars" name the best candidate of a task that loses to references on the gate split ("loses_to"), so that it
        cannot become the champion. Of a row, "best_of" lists the tasks whose ranking on val it leads, "absent" the
        reasons of missing metrics, "seeds" the spread over training seeds, "likelihood_note" how its likelihood comes
        about, "passes" the network passes of a sample, where the model says so.
    """
    rankings = [read_json(path) for path in sorted(ranking.glob("*.json"))]
    tables: dict[TableKey, dict[str, Any]] = {}
    for card in [read_json(path) for path in sorted(scores.glob("*/*/card.json"))]:
        name, table = card["experiment"], get_table(tables, card)
        # Tables are sorted by test metrics, rankings made on val: the first row need not be the best candidate.
        best_of = [r for r in rankings if [c["experiment"] for c in r["candidates"][:1]] == [name]]
        table["notes"] += [{k: r.get(k) for k in ("task", "supported", "note")} for r in best_of if r.get("note")]
        table["bars"] += [bar for r in best_of if (bar := _lost_references(r, card, baselines))["loses_to"]]
        table["rows"][name] = {
            **{key: card[key] for key in ("model", "digest", "likelihood")},
            **{"kind": "experiment", "name": name, "best_of": [r["task"] for r in best_of]},
            "figures": card["figures"]["test"],
            **{"absent": card.get("absent", {}), "seeds": card.get("seeds", {"n": 1, "spread": {}})},
            "notes": card.get("notes", []),
            **{key: card[key] for key in ("likelihood_note", "passes") if key in card},
        }
    for card in [read_json(path) for path in sorted(baselines.glob("*/card.json"))]:
        table = get_table(tables, card)
        table["remarks"] = list(dict.fromkeys([*table["remarks"], *card.get("remarks", [])]))
        for name, row in card["rows"].items():
            if "test" not in row["figures"]:
                continue
            # Tasks on the same data share reference models: one row has the metrics that either task asks for.
            table["rows"][name] = {
                **{"kind": row["role"], "name": name, "model": None, "digest": None, "best_of": [], "seeds": None},
                **{"likelihood": row["likelihood"], "absent": row.get("absent", {})},
                "figures": {**table["rows"].get(name, {}).get("figures", {}), **row["figures"]["test"]},
            }
    # Sorted, since leaderboard.json is a DVC output, whose bytes must not depend on the order of files.
    return {"tables": [order(tables[key]) for key in sorted(tables)]}


def get_table(tables: dict[TableKey, dict[str, Any]], card: Mapping[str, Any]) -> dict[str, Any]:
    """The table that a card belongs to, made if it is the first."""
    about = {key: card.get(key) for key in ("dataset", "levels", "binarise", "labels", "data", "judge")}
    # The digests of data and judge are no part of the key: after a failed run they may differ, and one table stays one.
    key = (str(about["dataset"]), str(about["levels"]), str(about["binarise"]), about["labels"] or 0)
    return tables.setdefault(key, {**about, "rows": {}, "notes": [], "remarks": [], "bars": []})


def _lost_references(ranking: Mapping[str, Any], card: Mapping[str, Any], baselines: Path) -> dict[str, Any]:
    """The references that the best candidate of a task does not beat."""
    rows, objective = references.read_baseline_rows(baselines / str(ranking["task"])), str(ranking.get("objective"))
    lost = references.find_gate_losses(rows, objective, card["figures"])
    return {"task": ranking["task"], "experiment": card["experiment"], "loses_to": lost}


def order(table: dict[str, Any]) -> dict[str, Any]:
    """Choose a table's columns and sort its rows."""
    rows = [table["rows"][name] for name in sorted(table["rows"])]
    columns = [name for name, m in METRICS.items() if m.column and any(name in r["figures"] for r in rows)]
    units = [c for c in columns if METRICS[c].objective and METRICS[c].inputs == ("nll",)]  # one metric: keep one unit
    columns = [c for c in columns if c not in units[1:]]
    counts = {k: max((r["figures"].get(k, 0) for r in rows), default=0) for k in ("n", "frechet_n")}
    over = {column: counted for column in columns if (counted := describe_counts(rows, column))}
    return {**table, **counts, "columns": columns, "over": over, "rows": sort_rows(rows, columns)}


def sort_rows(rows: Iterable[dict[str, Any]], columns: Iterable[str]) -> list[dict[str, Any]]:
    """Rows by the first column that they have a value in, best first."""
    columns = list(columns)

    def key(row: dict[str, Any]) -> tuple[int, float]:
        for i, column in enumerate(columns):
            if column in row["figures"]:
                # A row that lacks the metric of an earlier column stands after all rows that have it.
                return i, METRICS[column].sort_key(row["figures"][column])
        return len(columns), 0.0

    return sorted(rows, key=key)


def describe_counts(rows: Iterable[Mapping[str, Any]], column: str) -> str:
    """How many items a column's metrics are over, in how many independent groups; "" where no row says so.

    Rows with another number than most are named: a compressor of a whole split has one item.
    """
    names: dict[str, list[str]] = {}
    for row in rows:
        if f"{column}_n" in (metrics := row["figures"]):
            count = format_items(int(metrics[f"{column}_n"]), int(metrics.get(f"{column}_groups", 0)))
            names.setdefault(count, []).append(row.get("name", ""))
    most, *others = sorted(names, key=lambda count: -len(names[count])) or [""]
    return "; ".join([most, *(f"{count} ({', '.join(names[count])})" for count in others)])


def format_items(n: int, groups: int = 0) -> str:
    """ "100 items", "100 items in 8 independent groups": the number that an interval rests on."""
    items = f"{n:,} item" + "s" * (n != 1)
    return items + (f" in {groups:,} independent group" + "s" * (groups != 1)) * (0 < groups < n)


def interval(metrics: Mapping[str, float], name: str) -> tuple[float, float] | None:
    """The 95% interval of a metric; None where it is unknown, as over a single independent group."""
    return (metrics[f"{name}_low"], metrics[f"{name}_high"]) if f"{name}_low" in metrics else None


def title(table: Mapping[str, Any]) -> str:
    """How a table's data were prepared: "256 levels, binarised (dynamic), 100 labels"; "" for the data as they are."""
    parts = (("levels", "{} levels"), ("binarise", "binarised ({})"), ("labels", "{:,} labels"))
    return ", ".join(words.format(table[key]) for key, words in parts if table.get(key))


def markdown(board: Mapping[str, Any]) -> str:
    """The leaderboard as Markdown."""
    return (
        "# Leaderboard\n\nMetrics on `test`, ± half of a 95% interval; ranked on `val`, champions decided on `gate`. "
        f"{INTERVALS}\n" + "".join("\n" + "\n".join(_markdown_lines(table)) + "\n" for table in board["tables"])
    )


def _markdown_lines(table: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {', '.join(filter(None, (table['dataset'], title(table))))}\n"
    columns = [METRICS[c] for c in table["columns"]]
    facts = [filter(None, (m.unit, m.direction_label, table["over"].get(m.name))) for m in columns]
    heads = [f"{m.title} ({', '.join(words)})" for m, words in zip(columns, facts, strict=True)]
    yield "| model | kind | likelihood | " + " | ".join(heads) + " | best on val for |"
    yield "|---|---|---|" + "---:|" * len(heads) + "---|"
    for row in table["rows"]:
        cells = [_markdown_cell(row["figures"], column) for column in table["columns"]]
        name = f"**{row['name']}**" if row["kind"] == "experiment" else row["name"]
        name += "".join(f" ({note})" for note in row.get("notes", ()))
        yield "| " + " | ".join([name, row["kind"], row["likelihood"], *cells, ", ".join(row["best_of"])]) + " |"
    notes = [f"data {str(table['data'])[:12]}", f"{table['n']:,} items"]
    if (judge := table["judge"]) and table["frechet_n"]:
        accuracy = f", accuracy {judge['accuracy']:.1%}" if judge["accuracy"] is not None else ""
        training = f"trained on {judge.get('kind', 'classes')}{accuracy}"
        notes.append(f"of samples: n = {table['frechet_n']:,}, judge {judge['digest'][:12]} ({training})")
    yield "\n" + "; ".join(notes + table.get("remarks", [])) + "."
    yield from (f"\n{note['task']}: {note['note']}." for note in table["notes"])
    yield from (
        f"\n{row['name']}: likelihood ({row['likelihood']}): {row['likelihood_note']}."
        for row in table["rows"]
        if row.get("likelihood_note")
    )
    for bar in table["bars"]:
        yield (
            f"\n{bar['task']}: {bar['experiment']}, the best on val, cannot be its champion: on gate it loses to "
            f"{references.describe_losses(bar['loses_to'])}."
        )


def _markdown_cell(metrics: Mapping[str, float], column: str) -> str:
    if column not in metrics:
        return "-"
    ends = interval(metrics, column)
    # Half of the width, though an interval need not be symmetric: a table of text has no room for both ends.
    return f"{metrics[column]:.4g}" + (f" ± {(ends[1] - ends[0]) / 2:.2g}" if ends else "")


def write(scores: Path, baselines: Path, ranking: Path, folder: Path) -> None:
    """Write leaderboard.json and leaderboard.md to `folder`."""
    board = build(scores, baselines, ranking)
    write_json(folder / "leaderboard.json", board)
    write_bytes(folder / "leaderboard.md", markdown(board).encode())
