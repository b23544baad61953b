"""DVC outs of a trained model, as MLflow wants them: flat parameters, curves, metrics."""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from genfoundry import paths
from genfoundry.files import read_json
from genfoundry.tracking import cost_log

BESIDE = ("_n", "_groups", "_low", "_high")  # endings of what a metric is stated with,
STATED = ("frechet_n", "iw_n")  # but for these, which say of how many samples and items a metric on test is


class ModelOutputs:
    """The outs of one trained model in the workspace, and its page."""

    def __init__(self, root: Path, name: str) -> None:
        self.root, self.name = root, name
        self.tuning, self.panels = root / paths.tuning(name), root / paths.panels(name)
        self.curves, self.evaluation = root / paths.curves(name), root / paths.evaluation(name)
        self.page = root / paths.model_page(name)

    @cached_property
    def card(self) -> dict[str, Any]:
        """The content of its model.json."""
        return dict(read_json(self.root / paths.model(self.name) / "model.json"))

    @property
    def scores(self) -> Path:
        return self.root / paths.scores(self.card["dataset"], self.name) / "card.json"

    def hash_outs(self) -> str:
        """Digest of what a run is made from: a run with an equal one is up to date."""
        digest = hashlib.sha256(self.card["digest"].encode())
        folders = [p for folder in (self.tuning, self.panels) for p in sorted(folder.glob("*")) if p.is_file()]
        for path in (self.curves, self.scores, self.evaluation, *folders):
            # Names count, too, or the same bytes moved to another file would go unnoticed.
            digest.update(path.name.encode() + (path.read_bytes() if path.exists() else b""))
        return digest.hexdigest()

    @cached_property
    def costs(self) -> dict[str, float]:
        """Costs of the model on this machine, named `cost/...`."""
        costs = cost_log.read_costs(self.root).get(self.card["digest"], {})
        return {f"cost/{k}": float(v) for k, v in costs.items() if isinstance(v, int | float)}

    def hash_page_and_costs(self) -> str:
        """Digest of the model's page and its costs, which are no DVC outputs and change while these do not."""
        page = self.page.read_bytes() if self.page.exists() else b""
        return hashlib.sha256(json.dumps(self.costs, sort_keys=True).encode() + page).hexdigest()

    def params(self) -> dict[str, str]:
        """The settings that the model was made with, flat."""
        card = self.card
        params = dict(_flatten({"hyper": card["config"], "train": card.get("train", {}), "data": card.get("data", {})}))
        keys = ("model", "dataset", "task", "device", "precision", "threads")
        return params | {key: str(card[key]) for key in keys if key in card}

    def metrics(self) -> dict[str, float]:
        """Metrics by split, `val/...`, `gate/...`, `test/...`, and, with test's, the anchors that stand beside them.

        Numbers of items and groups, and the ends of intervals, are left out: they are in the card of the scores.
        """
        card = read_json(self.scores) if self.scores.exists() else {"figures": {}}
        flat = {
            f"{split}/{name}": value
            for split, metrics in card["figures"].items()
            for name, value in metrics.items()
            if not name.endswith(BESIDE) or (split == "test" and name in STATED)
        }
        flat |= {f"test/{name}": value for name, value in card.get("anchors", {}).items()}
        # MLflow's SQL store has no infinities: it writes the largest float in their place.
        return {k: float(v) for k, v in flat.items() if isinstance(v, int | float) and math.isfinite(v)}

    def iterate_curve(self) -> Iterator[tuple[str, float, int]]:
        """Name, value, step of every cell of the training's CSV, named as the live log names them."""
        if not self.curves.exists():
            return
        with self.curves.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                phase, step = row.pop("phase"), int(row.pop("step"))
                # A cell is empty where the row's phase has no such loss or player.
                yield from ((f"{phase}/{name}", float(v), step) for name, v in row.items() if v)


def find_model_outputs(root: Path) -> list[ModelOutputs]:
    """The outs of every trained model in the workspace."""
    cards = sorted((root / paths.MODELS).glob("*/model.json"))
    return [ModelOutputs(root, card.parent.name) for card in cards]


def _flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flatten(inner, f"{prefix}.{key}" if prefix else str(key))
    elif value is not None and value != {}:
        yield prefix, str(value)
