"""The entries of bench/spread.json: which are up to date, and what margins they ask for."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from genfoundry.config import Dataset, Params, Task
from genfoundry.errors import UserError
from genfoundry.selection import margins
from genfoundry.training.experiment import Experiment
from pipeline.orchestration import code_digest, resolve

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "bench/spread.json"
SPLIT = "val"  # where choices are made
BUDGET = "quick"  # that the margins under `tasks:` are for
BEST = 1  # candidates of a task whose seeds bound its margin: what takes over from it is most often its like
Entry = dict[str, Any]


def read_entries(path: Path = FILE) -> dict[str, Entry]:
    """Experiment -> entry.

    An entry: {"values": {objective: [a figure a seed]}, "split" that they are of, "budget", "overlay" (of the tuning),
    "settings", "code" (digests), "commit" and whether src was as "clean" there, "data" (digest), "device"}.
    """
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def load_experiment(name: str, entry: Entry, root: Path = ROOT) -> tuple[Experiment, Dataset]:
    """The experiment as params.yaml has it today, at the entry's budget and under its overlay, and its data set."""
    params = resolve.load_params(root / "params.yaml").model_copy(update={"budget": entry["budget"]})
    experiment = resolve.resolve_experiment(params, name, entry["overlay"])
    return experiment, params.datasets[experiment.entry.dataset]


def hash_settings(experiment: Experiment, dataset: Dataset) -> str:
    """Digest of all that decides what is trained and on what it is measured: the margin does not."""
    task = experiment.task.model_dump(mode="json", exclude={"margin", "direction"})
    # What an entry does not set is left out of keys that are newer than bench/spread.json: its digests lack them.
    unset = {key for key in ("metadata", "stack") if getattr(dataset, key) is None}
    data = dataset.model_dump(mode="json", exclude={"expect", *unset})
    what = {
        "task": task,
        "dataset": data,
        "data": experiment.entry.data.model_dump(mode="json"),
        "model": experiment.entry.model,
    }
    what |= {"hyper": experiment.hyper.model_dump(mode="json"), "train": experiment.train.model_dump(mode="json")}
    what |= {"seed": experiment.run.seed, "samples": experiment.budget.samples}
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def hash_code(model: str, root: Path = ROOT) -> str:
    """Digest of the syntax trees of the model's import closure, and of its libraries: comments change nothing."""
    return code_digest.Code(root).digest([Path(f"src/genfoundry/models/{model}.py")])


def find_fault(name: str, entry: Entry | None, root: Path = ROOT) -> str | None:
    """Why an entry does not say what today's experiment varies by; None where it does."""
    if entry is None:
        return "not measured"
    if entry["split"] != SPLIT or not entry["settings"]:
        return f"measured on {entry['split']}, with settings that were not recorded"
    if entry["budget"] != BUDGET:
        return f"measured at budget {entry['budget']}, not {BUDGET}"
    try:
        today = hash_settings(*load_experiment(name, entry, root))
    except UserError as error:
        return f"params.yaml no longer allows what was measured: {error}"
    return None if today == entry["settings"] else "params.yaml has other settings now"


def compute_margin(entry: Entry, objective: str) -> float:
    """The margin that an entry's seeds ask for; 0 where one training is the same as any."""
    values = entry["values"][objective]
    return margins.compute_seed_margin(stdev(values), len(values)) if len(values) > 1 else 0.0


def rank_measured(task: Task, params: Params, entries: dict[str, Entry], root: Path = ROOT) -> list[str]:
    """The experiments with up-to-date entries that compete for a task, best on val first."""

    def competes(name: str, entry: Entry) -> bool:
        if name not in params.experiments or find_fault(name, entry, root) or task.objective not in entry["values"]:
            return False
        data = params.experiments[name].data
        other = params.tasks[params.experiments[name].task]
        same = (other.dataset, other.levels, other.binarise) == (task.dataset, task.levels, task.binarise)
        return bool(same and data.labels == task.labels)

    sign = 1 if task.direction == "minimize" else -1
    return sorted(
        (name for name, entry in entries.items() if competes(name, entry)),
        key=lambda name: (sign * mean(entries[name]["values"][task.objective]), name),
    )


def format_table(params: Params, entries: dict[str, Entry]) -> list[str]:
    """A line a task: its margin, and what its best candidates' seeds ask for."""
    lines = []
    for name, task in params.tasks.items():
        best = rank_measured(task, params, entries)[:BEST]
        need = {b: compute_margin(entries[b], task.objective) for b in best}
        why = ", ".join(f"{b} {value:.3g}" for b, value in need.items()) or "nothing measured"
        verdict = "ok" if need and task.margin >= max(need.values()) else "TOO SMALL" if need else ""
        lines.append(f"{name}: margin {task.margin:g}; asked for: {why} {verdict}".rstrip())
    return lines
