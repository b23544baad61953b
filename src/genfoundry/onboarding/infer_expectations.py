"""What validation is to expect of a data set from now on, from what it is like today."""

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

EXACT = 1e15  # whole numbers below it are themselves in float64
GROWTH = 10  # by how much a data set may grow before someone should look


def infer_expectations(frame: pd.DataFrame, dataset: Dataset, classes: int) -> dict[str, Any]:
    """An `expect` that the description table `frame` meets, with room for data to come."""
    rows = derive(frame, Expect())
    train = int((rows["split"] == "train").sum())
    found: dict[str, Any] = {"rows": {"train": [math.floor(0.9 * train), GROWTH * train]}}
    return found | {"images": _images, "text": _text, "series": _series, "pairs": _pairs}[dataset.modality](
        frame, rows, dataset, classes
    )


def drop_unmet(expect: dict[str, Any], frame: pd.DataFrame) -> tuple[dict[str, Any], list[str]]:
    """The keys of `expect` that the description table `frame` meets, and a line for each that it does not.

    What `init` writes must pass its own validation, whatever the data.

    Raises:
        UserError: the table breaks a rule that no key declares, such as finite values.
    """
    kept, lines = dict(expect), []
    while failing := _failing(kept, frame):
        rule = failing[0]
        key = next((k for k in kept if rule in _rules({k: kept[k]}, frame) and rule not in _rules({}, frame)), None)
        if key is None:
            raise UserError(f"{rule.says}: column {rule.column}: expected {rule.expected}; these data are not so")
        lines.append(f"expect.{key}: {kept.pop(key)} is left out: {rule.says}: these data are not so")
    return kept, lines


def _rules(expect: dict[str, Any], frame: pd.DataFrame) -> list[Rule]:
    return rules(Expect.model_validate(expect), frame.columns)


def _failing(expect: dict[str, Any], frame: pd.DataFrame) -> list[Rule]:
    rows = derive(frame, Expect.model_validate(expect))
    return unmet(rows, _rules(expect, rows))


def _images(frame: pd.DataFrame, rows: pd.DataFrame, dataset: Dataset, classes: int) -> dict[str, Any]:
    found: dict[str, Any] = {"values": [0, dataset.levels - 1]}
    if classes > 1 and (rows["label"] >= 0).all():
        found |= {"labels": classes, "balance": math.floor(80 * rows["class_balance"].min()) / 100}
    constant, across = (int(rows[name].sum()) for name in ("constant", "duplicate_across_splits"))
    return {**found, "constant": constant, "duplicates": {"across": across}}


def _text(frame: pd.DataFrame, rows: pd.DataFrame, dataset: Dataset, classes: int) -> dict[str, Any]:
    longer = 40  # short lines recur in every text
    across = derive(frame, Expect.model_validate({"duplicates": {"longer": longer}}))["duplicate_across_splits"]
    length = [1, 2 * int(rows["length"].max())]
    return {"unknown": 0, "duplicates": {"across": int(across.sum()), "longer": longer}, "length": length}


def _series(frame: pd.DataFrame, rows: pd.DataFrame, dataset: Dataset, classes: int) -> dict[str, Any]:
    low, high = float(rows["min"].min()), float(rows["max"].max())
    room = (high - low) / 2
    bounds = [_outwards(low - room, room, math.floor), _outwards(high + room, room, math.ceil)]
    found: dict[str, Any] = {"values": bounds, "order": True}
    gap = float(rows["step"].max())
    found["gap"] = int(gap) if gap == int(gap) else _outwards(1.001 * gap, gap, math.ceil, digits=5)
    if "filled" in rows:
        found["filled"] = GROWTH * max(1, int(rows["filled"].sum()))
    if "absent" in rows:
        found["absent"] = GROWTH * max(1, int(rows["absent"].sum()))
    return found


def _pairs(frame: pd.DataFrame, rows: pd.DataFrame, dataset: Dataset, classes: int) -> dict[str, Any]:
    return {"unknown": 0, "duplicates": {"across": 0}, "length": [1, max(dataset.window - 1, dataset.context)]}


def _outwards(value: float, unit: float, towards: Callable[[Decimal], int], digits: int = 3) -> float | int:
    """`value` rounded down or up, to three digits where that is within a tenth of `unit`, else to more.

    A bound must hold for the data that it was made of, whatever their offset: 39,000 +- 9 has no bounds of two digits.
    """
    for places in range(digits, 18):
        scaled = Decimal(repr(value)).scaleb(places - 1 - _exponent(value))
        short = float(Decimal(towards(scaled)).scaleb(_exponent(value) - places + 1))
        if abs(short - value) <= unit / 10:
            return int(short) if short == int(short) and abs(short) < EXACT else short
    return value


def _exponent(value: float) -> int:
    return Decimal(repr(value)).adjusted() if value else 0
