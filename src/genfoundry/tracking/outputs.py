"""The DVC outs about a trained model, as MLflow wants them: flat parameters, points, figures."""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from genfoundry import paths
from genfoundry.files import read_json
from genfoundry.tracking import cost_log

BESIDE = ("_n", "_groups", "_low", "_high")  # what a figure is stated with, after its name,
STATED = ("frechet_n", "iw_n")  # but for these, which say of how many samples and items a figure on test is


@dataclass(frozen=True)
class ModelOutputs:
    """The outs about one trained model in the workspace."""

    root: Path
    name: str

    @cached_property
    def card(self) -> dict[str, Any]:
        found: dict[str, Any] = read_json(self.root / paths.model(self.name) / "model.json")
        return found

    @property
    def tuning(self) -> Path:
        return self.root / paths.tuning(self.name)

    @property
    def panels(self) -> Path:
        return self.root / paths.panels(self.name)

    @property
    def curves(self) -> Path:
        return self.root / paths.curves(self.name)

    @property
    def scores(self) -> Path:
        return self.root / paths.scores(str(self.card["dataset"]), self.name) / "card.json"

    @property
    def evaluation(self) -> Path:
        return self.root / paths.evaluation(self.name)

    def fingerprint(self) -> str:
        """What a run was made from: equal ones need no second look."""
        digest = hashlib.sha256(self.card["digest"].encode())
        folders = [p for folder in (self.tuning, self.panels) for p in sorted(folder.glob("*")) if p.is_file()]
        for path in (self.curves, self.scores, self.evaluation, *folders):
            digest.update(path.name.encode() + (path.read_bytes() if path.exists() else b""))
        return digest.hexdigest()

    @property
    def page(self) -> Path:
        return self.root / paths.model_page(self.name)

    @cached_property
    def costs(self) -> dict[str, float]:
        """What the model cost on this machine, `cost/...`."""
        known = cost_log.read_costs(self.root).get(self.card["digest"], {})
        return {f"cost/{k}": float(v) for k, v in known.items() if isinstance(v, int | float)}

    def measured(self) -> str:
        """Digest of what is no out, and changes while the outs do not: the model's page and its costs."""
        page = self.page.read_bytes() if self.page.exists() else b""
        return hashlib.sha256(json.dumps(self.costs, sort_keys=True).encode() + page).hexdigest()

    def params(self) -> dict[str, str]:
        """What the model was made by, flat."""
        card = self.card
        found = dict(_flat({"hyper": card["config"], "train": card.get("train", {}), "data": card.get("data", {})}))
        keys = ("model", "dataset", "task", "device", "precision", "threads")
        return found | {key: str(card[key]) for key in keys if key in card}

    def figures(self) -> dict[str, float]:
        """Figures by split, `val/...`, `gate/...`, `test/...`, and, with test's, those of what stands beside a model.

        The items and groups that a figure is of, and its interval's ends, are no figures: they are in the scores' card.
        """
        card = read_json(self.scores) if self.scores.exists() else {"figures": {}}
        flat = {
            f"{split}/{name}": value
            for split, figures in card["figures"].items()
            for name, value in figures.items()
            if not name.endswith(BESIDE) or (split == "test" and name in STATED)
        }
        flat |= {f"test/{name}": value for name, value in card.get("anchors", {}).items()}
        return {k: float(v) for k, v in flat.items() if isinstance(v, int | float) and math.isfinite(v)}

    def curve(self) -> Iterator[tuple[str, float, int]]:
        """Name, value, step of every cell of the training's CSV, named as the live log names them."""
        if not self.curves.exists():
            return
        with self.curves.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                phase, step = row.pop("phase"), int(row.pop("step"))
                yield from ((f"{phase}/{name}", float(v), step) for name, v in row.items() if v)


def find_model_outputs(root: Path) -> list[ModelOutputs]:
    """Every trained model in the workspace."""
    return [ModelOutputs(root, path.parent.name) for path in sorted((root / paths.MODELS).glob("*/model.json"))]


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    elif value is not None and value != {}:
        yield prefix, str(value)
