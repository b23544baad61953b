"""Data validation by Great Expectations: a description table against its declared expectations; a verdict and a page.

Every rule is an expectation on one table, a row a sample; what is no property of a row alone (duplicates, balance of
the classes, steps in time) is a column that `rules.derive` adds.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genfoundry.data.validation.page import render_page
from genfoundry.data.validation.rules import SHOWN, Rule, derive, rules
from genfoundry.errors import UserError
from genfoundry.files import read_json, write_bytes, write_json
from genfoundry.splits import SPLITS

if TYPE_CHECKING:
    import pandas as pd

    from genfoundry.config import Expect

COLUMNS = ("split", "label", "min", "max", "length", "distinct", "unknown", "time", "finite", "digest", "source")
PLACE = ("split", "row", "source")


@dataclass(frozen=True)
class Outcome:
    """The outcome of a rule: `value` is the bare observation, `observed` the same in words; failures have examples."""

    rule: Rule
    success: bool
    value: Any
    observed: str
    examples: tuple[str, ...] = ()


def validate(folder: Path, dataset: str, expect: Expect, verdict: Path, docs: Path) -> None:
    """Validate the prepared data set in `folder`; write the page `docs`/index.html and, if all rules hold, `verdict`.

    `verdict` is a function of the prepared data and `expect` alone. A failed run leaves none, but `docs`/failed.json.

    Raises:
        UserError: a line a failed expectation (data set, expectation, column, expected, observed), then the page.
    """
    # First: a run that is killed must not leave the verdict on other data behind
    verdict.unlink(missing_ok=True)
    frame = derive(_read_description(folder / "describe.parquet"), expect)
    outcomes = _run(dataset, frame, rules(expect, frame.columns))
    counts = frame["split"].value_counts()
    value = {
        "data": read_json(folder / "spec.json")["digest"],
        "dataset": dataset,
        "duplicates_within": int(frame["duplicate_within_split"].sum()),
        "expectations": [_dump(outcome) for outcome in outcomes],
        "rows": {split: int(counts.get(split, 0)) for split in SPLITS},
        "success": all(outcome.success for outcome in outcomes),
    }
    page = docs / "index.html"
    write_bytes(page, render_page(value, outcomes).encode())
    failures = [f"{dataset}: {_describe(outcome)}" for outcome in outcomes if not outcome.success]
    if failures:
        write_json(docs / "failed.json", value)
        raise UserError("\n".join([*failures, f"{dataset}: {len(failures)} expectations failed; Data Docs: {page}"]))
    (docs / "failed.json").unlink(missing_ok=True)
    write_json(verdict, value)


def _read_description(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path}: expected a description table ({' '.join(str(error).split())}); prepare it again"
        ) from None
    if missing := [c for c in COLUMNS if c not in frame]:
        raise UserError(f"{path}: expected columns {', '.join(COLUMNS)}, got none of {', '.join(missing)}")
    return frame


def _run(dataset: str, frame: pd.DataFrame, checks: list[Rule]) -> list[Outcome]:
    """Run Great Expectations and return the outcome of every rule, in order."""
    # Before the import, which would report its use
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas(dataset).add_dataframe_asset("describe")
    suite = gx.ExpectationSuite(dataset, expectations=[_expectation(rule, i) for i, rule in enumerate(checks)])
    definition = gx.ValidationDefinition(
        name=dataset, data=asset.add_batch_definition_whole_dataframe("all"), suite=context.suites.add(suite)
    )
    result = context.validation_definitions.add(definition).run(
        batch_parameters={"dataframe": frame},
        result_format={"result_format": "SUMMARY", "unexpected_index_column_names": list(PLACE)},
    )
    # By number: the results are not in the order of the suite
    results = {r["expectation_config"]["meta"]["rule"]: r for r in result.to_json_dict()["results"]}
    return [_outcome(rule, results[number], frame) for number, rule in enumerate(checks)]


def _expectation(rule: Rule, number: int) -> Any:
    import great_expectations.expectations as gxe
    from great_expectations.expectations.row_conditions import Column

    settings: dict[str, Any] = {**rule.bounds, "notes": rule.says, "meta": {"rule": number}}
    # Rules on tables refuse a column
    settings |= {} if "Table" in rule.name else {"column": rule.column}
    settings |= {"row_condition": Column("split") == rule.split} if rule.split else {}
    return getattr(gxe, rule.name)(severity="info" if rule.counts else "critical", **settings)


def _outcome(rule: Rule, content: dict[str, Any], frame: pd.DataFrame) -> Outcome:
    success, result = bool(content["success"]), content["result"]
    if not result:
        return Outcome(rule, False, None, f"not evaluated: {_exception(content['exception_info'])}")
    if "element_count" in result:
        value: Any = {"of": result["element_count"], "unexpected": result["unexpected_count"]}
        words = f"{value['unexpected']} of {value['of']} rows not so"
        examples = [f"{e[rule.column]} at {_place(e)}" for e in result.get("partial_unexpected_index_list") or ()]
    elif "missing_count" in result:
        value = {"missing": result["partial_missing_list"]}
        words, examples = "missing " + (", ".join(map(str, value["missing"])) or "none"), []
    else:
        value = result.get("observed_value")
        # JSON has no NaN, which the least value of an empty column is
        value = None if isinstance(value, float) and not math.isfinite(value) else value
        words, examples = str(value), list(_examples(rule, frame))
    if success or not examples:
        return Outcome(rule, success, value, words)
    return Outcome(rule, success, value, f"{words}, e.g. {'; '.join(examples[:SHOWN])}", tuple(examples))


def _examples(rule: Rule, frame: pd.DataFrame) -> Iterator[str]:
    """Yield where a sum over rows comes from; for a duplicate also where the first one is."""
    if rule.name != "ExpectColumnSumToBeBetween":
        return
    for _, row in frame[frame[rule.column] > 0].head(SHOWN).iterrows():
        first = frame[frame["digest"] == row["digest"]].iloc[0]
        yield _place(row) + (f" = {_place(first)}" if "duplicate" in rule.column else "")


def _place(row: Any) -> str:
    return f"{row['split']} row {row['row']} ({row['source']})"


def _exception(info: dict[str, Any]) -> str:
    messages = [v["exception_message"] for v in info.values() if isinstance(v, dict)] or [info["exception_message"]]
    return " ".join(str(messages[0]).split())


def _dump(outcome: Outcome) -> dict[str, Any]:
    rule = outcome.rule
    return {
        "column": rule.column,
        "expectation": rule.name,
        "expected": rule.bounds,
        "observed": outcome.value,
        "says": rule.says,
        "split": rule.split,
        "success": outcome.success,
    }


def _describe(outcome: Outcome) -> str:
    rule = outcome.rule
    where = f"column {rule.column}" + (f" of {rule.split}" if rule.split else "")
    return f"{rule.says}: {rule.name}, {where}: expected {rule.expected}, observed {outcome.observed}"
