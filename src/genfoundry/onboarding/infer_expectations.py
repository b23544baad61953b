"""Expectations for the validation of a data set, inferred from what it is like today."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from genfoundry.config import Dataset, Expect
from genfoundry.data.validation.rules import Rule, derive, rules, unmet
from genfoundry.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

EXACT = 1e15  # whole numbers below it are exact in float64
GROWTH = 10  # by how much a data set may grow before someone should look
LONG_LINES = 40  # characters: shorter lines recur in every text


def infer_expectations(table: pd.DataFrame, dataset: Dataset, classes: int) -> dict[str, Any]:
    """An `expect` that the description table of a data set meets, with room for data to come."""
    rows = derive(table, Expect())
    train = int((rows["split"] == "train").sum())
    # A tenth may go, and the data may grow tenfold, before a person has to look.
    expect: dict[str, Any] = {"rows": {"train": [math.floor(0.9 * train), GROWTH * train]}}
    if dataset.modality == "images":
        expect["values"] = [0, dataset.levels - 1]
        if classes > 1 and (rows["label"] >= 0).all():
            expect |= {"labels": classes, "balance": math.floor(80 * rows["class_balance"].min()) / 100}
        expect["constant"] = int(rows["constant"].sum())
        expect["duplicates"] = {"across": int(rows["duplicate_across_splits"].sum())}
    elif dataset.modality == "text":
        rule = Expect.model_validate({"duplicates": {"longer": LONG_LINES}})
        across = int(derive(table, rule)["duplicate_across_splits"].sum())
        expect |= {"unknown": 0, "duplicates": {"across": across, "longer": LONG_LINES}}
        expect["length"] = [1, 2 * int(rows["length"].max())]
    elif dataset.modality == "series":
        expect |= _infer_series(rows)
    else:
        length = [1, max(dataset.window - 1, dataset.context)]
        expect |= {"unknown": 0, "duplicates": {"across": 0}, "length": length}
    return expect


def _infer_series(rows: pd.DataFrame) -> dict[str, Any]:
    low, high, gap = float(rows["min"].min()), float(rows["max"].max()), float(rows["step"].max())
    # Series drift: values up to half their span beyond what was seen are not refused.
    room = (high - low) / 2
    bounds = [_round_outwards(low - room, room, math.floor), _round_outwards(high + room, room, math.ceil)]
    expect: dict[str, Any] = {"values": bounds, "order": True}
    expect["gap"] = int(gap) if gap == int(gap) else _round_outwards(1.001 * gap, gap, math.ceil, digits=5)
    return expect | {key: GROWTH * max(1, int(rows[key].sum())) for key in ("filled", "absent") if key in rows}


def drop_unmet(expect: dict[str, Any], table: pd.DataFrame) -> tuple[dict[str, Any], list[str]]:
    """The keys of `expect` that the description table meets, and a line for each that it does not.

    What `init` writes must pass its own validation, whatever the data.

    Raises:
        UserError: the table breaks a rule that no key declares, such as finite values.
    """
    met, lines = dict(expect), list[str]()
    while True:
        rows = derive(table, Expect.model_validate(met))
        failing = unmet(rows, _rules(met, rows))
        if not failing:
            return met, lines
        # One at a time, since the table's columns are derived anew without the key that goes.
        rule, always = failing[0], _rules({}, table)
        key = next((k for k in met if rule in _rules({k: met[k]}, table) and rule not in always), None)
        if key is None:
            raise UserError(f"{rule.says}: column {rule.column}: expected {rule.expected}; these data are not so")
        lines.append(f"expect.{key}: {met.pop(key)} is left out: {rule.says}: these data are not so")


def _rules(expect: dict[str, Any], table: pd.DataFrame) -> list[Rule]:
    return rules(Expect.model_validate(expect), table.columns)


def _round_outwards(value: float, unit: float, towards: Callable[[Decimal], int], digits: int = 3) -> float | int:
    """Round `value` down or up, to `digits` digits where that is within a tenth of `unit`, else to more.

    A bound must hold for the data that it was made of, whatever their offset: 39,000 +- 9 has no bounds of two digits.
    """
    exponent = Decimal(repr(value)).adjusted() if value else 0
    for places in range(digits, 18):
        scaled = Decimal(repr(value)).scaleb(places - 1 - exponent)
        short = float(Decimal(towards(scaled)).scaleb(exponent - places + 1))
        if abs(short - value) <= unit / 10:
            return int(short) if short == int(short) and abs(short) < EXACT else short
    return value
