"""The metrics of a model's page, in groups: each with its interval, its control, and the reason where it is absent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from genfoundry.reporting import leaderboard
from genfoundry.reporting.metric_info import CONTROL, GROUPS, METRICS
from genfoundry.reporting.site.results import Json, ModelResult, Results
from genfoundry.reporting.site.table import decimals

CODING = {  # kind of likelihood -> the entropy coder that makes a file of that length
    "exact": "A likelihood is a code length: an arithmetic coder reaches it to within a few bits per file.",
    "bound": "A likelihood is a code length: a bound, which bits-back coding reaches (Townsend et al. 2019).",
}


def groups(results: Results, model: ModelResult) -> tuple[list[Json], list[tuple[str, str]]]:
    """Groups with at least one value, and (title, reason) of the metrics and groups that have none."""
    rows = list(_rows(model, {**_compressors(results, model), **model.card.get("beside", {})}))
    shown: list[Json] = []
    missing: dict[str, str] = {}
    for key, (title, description) in GROUPS.items():
        group = [row for row in rows if row["metric"].group == key]
        values = [row for row in group if row["value"] is not None]
        if values:
            notes = list(_notes(key, values, model))
            shown.append({"key": key, "title": title, "description": description, "rows": values, "notes": notes})
        for row in group:
            if row["value"] is None:
                # A group without any value takes one line, not one for each of its metrics.
                missing.setdefault(row["metric"].title if values else title, row["absent"])
    return shown, list(missing.items())


def _compressors(results: Results, model: ModelResult) -> Json:
    """Compressor -> its test metrics on the same data: references of a likelihood."""
    metrics: Json = {}
    for card in results.references.values():
        # A code length compares only for the same symbols.
        if all(card.get(key) == model.card.get(key) for key in ("dataset", "levels", "binarise")):
            rows = card["rows"].items()
            metrics |= {name: row["figures"].get("test", {}) for name, row in rows if row.get("role") == "compressor"}
    return metrics


def _rows(model: ModelResult, references: Mapping[str, Mapping[str, float]]) -> Iterator[Json]:
    """Every metric that models of such data can have, on each split, per training seed and beside references.

    "control" is the same metric in the features of a network with random weights, "over" the number of items,
    "below_chance" whether the likelihood prefers out-of-distribution data.
    """
    test, seeds, absent = model.metrics, model.card.get("seeds", {}), model.card.get("absent", {})
    for name, metric in METRICS.items():
        if name in test or name in absent:
            value, ends = test.get(name), leaderboard.interval(test, name)
            yield {
                **{split: model.card["figures"].get(split, {}).get(name) for split in ("val", "gate")},
                **{"metric": metric, "value": value, "interval": ends, "control": test.get(f"{name}{CONTROL}")},
                "decimals": decimals([value], [(ends[1] - ends[0]) / 2] if ends else []),
                # An AUROC below one half is a finding of its own (Nalisnick et al. 2019), which the page points out.
                "below_chance": metric.group == "ood" and value is not None and value < 0.5,
                "seeds": seeds.get("values", {}).get(name, []) if seeds.get("n", 1) > 1 else [],
                "spread": seeds.get("spread", {}).get(name),
                "absent": absent.get(name, ""),
                "references": [(method, v[name]) for method, v in sorted(references.items()) if name in v],
                "over": leaderboard.describe_counts([{"figures": test}], name),
            }


def _notes(key: str, rows: Sequence[Json], model: ModelResult) -> Iterator[str]:
    metrics, likelihood = model.metrics, model.card["likelihood"]
    if key == "likelihood" and likelihood in CODING and any(row["references"] for row in rows):
        yield CODING[likelihood]
    if key == "likelihood" and likelihood == "estimate":
        yield "This likelihood is an estimate by a numerical method, neither exact nor a bound."
    if key == "likelihood" and model.card.get("likelihood_note"):
        yield f"How it is computed: {model.card['likelihood_note']}."
    if key == "likelihood" and "iw_k" in metrics:
        yield (
            f"IW is the importance-weighted bound of k = {metrics['iw_k']:g} draws (Burda et al. 2016); its gap was "
            f"measured on {metrics['iw_n']:g} test items."
        )
    if failed := [row["metric"].title.removeprefix("AUROC, ") for row in rows if row["below_chance"]]:
        yield f"This model assigns a higher likelihood to other data than to its own: {'; '.join(failed)}."
