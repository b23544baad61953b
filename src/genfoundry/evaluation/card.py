"""The card of what was measured: metrics on every split, what they rest on, and why a cell is empty."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genfoundry import files
from genfoundry.evaluation.metrics import metrics_of
from genfoundry.evaluation.objectives import objectives

if TYPE_CHECKING:
    from genfoundry.data.dataset import Dataset
    from genfoundry.evaluation.baselines.base import Baseline
    from genfoundry.evaluation.scores import Scores
    from genfoundry.models.base import Learner

COLLAPSED = 1.0  # nats a sample: codes that carry less are not in use
DIGITS = 5  # significant digits of a headline metric: a table of all experiments fits a terminal
Metrics = Mapping[str, float]


def write_card(folder: Path, card: Mapping[str, Any], scores: Scores) -> None:
    """Write card.json and scores.safetensors."""
    from safetensors.numpy import save

    files.write_bytes(folder / "scores.safetensors", save({k: np.ascontiguousarray(v) for k, v in scores.items()}))
    files.write_json(folder / "card.json", card)


def write_headline(path: Path, objective: str, per_split: Mapping[str, Metrics]) -> None:
    """Write what DVC shows of an experiment: its objective on each split, the ends of the 95% interval on test.

    Values that are unknown are absent; every metric in full is in the card.
    """
    values = {split: metrics.get(objective) for split, metrics in per_split.items()}
    values |= {end: per_split.get("test", {}).get(f"{objective}_{end}") for end in ("low", "high")}
    rounded = {key: float(f"{value:.{DIGITS}g}") for key, value in values.items() if value is not None}
    files.write_json(path, {"objective": objective, **rounded})


def describe_model(card: Mapping[str, Any]) -> dict[str, Any]:
    """Return the description of a model in the card of its scores, from the content of model.json."""
    data, steps = card.get("data", {}), card.get("train", {}).get("steps")
    about = {key: card.get(key) for key in ("experiment", "model", "task", "dataset", "digest")}
    about |= {key: data.get(key) for key in ("levels", "binarise", "labels")}
    return about | {"without": list(data.get("without") or ()), "steps": None if steps is None else sum(steps.values())}


def describe_likelihood(model: Learner) -> dict[str, Any]:
    """Return the kind of likelihood, how it comes about and the network passes of a sample, where the model says so."""
    about: dict[str, Any] = {"likelihood": getattr(model, "likelihood", "none")}
    notes = {"likelihood_note": getattr(model, "likelihood_note", ""), "passes": getattr(model, "passes", None)}
    return about | {key: value for key, value in notes.items() if value}


def describe_data(dataset: Dataset, judge: Learner | None) -> dict[str, Any]:
    """Return what metrics depend on beside the model: the data's digest; the judge's digest and accuracy."""
    if judge is None:
        return {"data": dataset.meta["digest"], "judge": None}
    accuracy, kind = judge.card.get("accuracy", {}).get("test"), getattr(judge, "kind", "classes")
    about = {"digest": judge.card["digest"], "accuracy": accuracy, "kind": kind}
    return {"data": dataset.meta["digest"], "judge": about}


def describe_baseline(row: Baseline) -> dict[str, Any]:
    """Return the entry of a reference model in a table's card, before its metrics."""
    of_likelihood = [name for name, metric in objectives().items() if set(metric.inputs) <= {"nll", "frame"}]
    absent = dict.fromkeys(of_likelihood if row.absent else (), row.absent)
    return {"role": row.role, "likelihood": row.likelihood, "absent": absent, "figures": {}}


def explain_absent(metrics: Metrics, modality: str, model: Learner, judge: Learner | None) -> dict[str, str]:
    """Return metric -> the reason why the model has no value of it, for metrics of the modality that are absent."""
    return {m.name: m.requires.why_absent(model, judge) for m in metrics_of(modality) if m.name not in metrics}


def note_collapse(metrics: Metrics, model: Mapping[str, Any]) -> list[str]:
    """Return a note if the posterior has collapsed (its rate is below `COLLAPSED` nats a sample), or the generator.

    Args:
        metrics: of the model on test.
        model: content of model.json, where a training that ended collapsed says so (`training.health`).
    """
    rate = metrics.get("rate", COLLAPSED)
    notes = [f"collapsed: rate {rate:.2g} nats"] if rate < COLLAPSED else []
    return notes + ([str(model["collapse"])] if model.get("collapse") else [])
