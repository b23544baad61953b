"""Proposal of entries of params.yaml for a path: the data set, tasks on it, an experiment for every model that fits.

Models are chosen by what they declare (`modalities`, `likelihood`, abilities, `suggest_settings`), never by name.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genfoundry import config, models
from genfoundry.data import dataset as data_dataset
from genfoundry.data import preparation
from genfoundry.data.readers.listing import require_utf8
from genfoundry.data.split_assignment import FewGroups
from genfoundry.errors import UserError
from genfoundry.evaluation.objectives import computable_objectives, find_objective
from genfoundry.onboarding.infer_expectations import drop_unmet, infer_expectations
from genfoundry.onboarding.inspect import inspect_data
from genfoundry.types import Spec

if TYPE_CHECKING:
    from genfoundry.models.base import GenerativeModel

# Objective, the task's name, the margin; in the order in which a model takes the first that it can compute.
TASKS = {
    "images": (("bits_per_dim", "density", 0.01), ("frechet", "samples", 5.0)),
    "text": (("nats_per_char", "density", 0.01),),
    "series": (("mae", "forecast", None),),
    "pairs": (("chrf", "translation", 1.0),),
}
JUDGE = "judge"  # the feature network by which samples of images are compared
STEPS = {"smoke": 20, "quick": 1000, "standard": 30_000, "full": 100_000}  # at 28 x 28 pixels
EPOCHS = {"smoke": 1, "quick": 30, "standard": 300, "full": 1000}  # at most
PIXELS = 28 * 28
LEAST = 2  # items in a split, or metrics have no spread


@dataclass(frozen=True)
class Proposal:
    """Entries by section of params.yaml, and a line for each choice and its reason."""

    sections: dict[str, dict[str, Any]]
    notes: list[str] = field(default_factory=list)


def propose(path: Path, name: str, params: config.Params, given: Mapping[str, Any] = {}) -> Proposal:
    """Inspect the files, prepare them once in a scratch folder, and size every entry by what came out.

    Args:
        path: a file or a folder of data.
        name: the data set's.
        params: the params.yaml that the entries are for.
        given: keys of the data set's entry that the user chose, such as `classes: top`.

    Raises:
        UserError: the path has nothing usable, or too little for four splits.
    """
    # The path goes into params.yaml, a UTF-8 file.
    require_utf8(Path("/"), str(path))
    if given:
        config.check(config.Dataset, {"modality": "images", "raw": "", **given}, f"datasets.{name}", "init")
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; DATA=path is a file or a folder of data")
    with tempfile.TemporaryDirectory(prefix="genfoundry-init-") as scratch:
        raw = path
        if path.is_file():  # a data set's reader reads folders
            raw = Path(scratch, "raw")
            raw.mkdir()
            (raw / path.name).symlink_to(path.resolve())  # a copy of a large file would take minutes
        with _name_path(raw, path):
            inspection = inspect_data(raw, given)
        notes = [*inspection.notes]
        notes += (f"{key}: {value}, as given" for key, value in given.items() if inspection.entry.get(key) != value)
        entry = {**inspection.entry, **given, "raw": {"path": str(path)}}
        while True:
            dataset = config.check(config.Dataset, entry, f"datasets.{name}", "init")
            try:
                data = _prepare(raw, Path(scratch), dataset, params.seed, path)
                break
            except UserError as error:
                # Each error adds one key, and none is added twice, so that the loop ends.
                notes.append(_amend(entry, error))
        import pandas as pd

        table = pd.read_parquet(data.folder / "describe.parquet")
        entry["expect"], unmet = drop_unmet(infer_expectations(table, dataset, data.spec.classes), table)
        notes += [_count_items(data), *unmet]
        if entry["modality"] == "images" and not data.spec.classes:
            notes.append("no labels: the judge of samples learns by how much images are turned")
        judge = _propose_judge(data, entry, params)
        tasks = {f"{name}-{word}": task for word, task in _propose_tasks(name, data, entry, bool(judge))}
        experiments = dict(_propose_experiments(name, tasks, data, params, notes))
    with_experiment = {experiment["task"] for experiment in experiments.values()}
    first = {key: entry[key] for key in ("modality", "raw")}
    sections = {
        "datasets": {name: {**first, **{k: v for k, v in entry.items() if k not in first}}},
        "judges": {name: judge} if judge else {},
        # A task that no model can be ranked on would only be an error of the next plan.
        "tasks": {task: settings for task, settings in tasks.items() if task in with_experiment},
        "experiments": experiments,
    }
    return Proposal(sections, notes)


def _amend(entry: dict[str, Any], error: UserError) -> str:
    """Add the key that an error asks for to the entry; return a note. Raise the error where no key helps."""
    slices, split = entry.get("slices", {}), entry.get("split", {})
    if "missing: background" in str(error) and slices and "missing" not in slices:
        entry["slices"] = {**slices, "missing": "background"}
        return f"slices: missing: background: {str(error).partition('; slices:')[0]}"
    if isinstance(error, FewGroups) and "few_groups" not in split:
        entry["split"] = {**split, "few_groups": True}
        why = str(error).partition(", or say ")[0]
        return f"split: few_groups: true: figures of a split of one group have no interval: {why}"
    raise error


@contextlib.contextmanager
def _name_path(raw: Path, path: Path) -> Iterator[None]:
    """Name the path in errors as the user gave it, not as it was read."""
    try:
        yield
    except UserError as error:
        raise type(error)(str(error).replace(f"{raw}/{path.name}", str(path)).replace(str(raw), str(path))) from None


def _prepare(raw: Path, scratch: Path, dataset: config.Dataset, seed: int, path: Path) -> data_dataset.Dataset:
    try:
        with _name_path(raw, path):
            preparation.prepare(raw, scratch / "inbox", scratch / "prepared", dataset, seed)
    except preparation.EmptySplit:
        raise UserError(f"{path}: too few data for four splits: expected {LEAST} items or more in each") from None
    data = data_dataset.Dataset(scratch / "prepared")
    if min(data.meta["counts"].values()) < LEAST:
        items = _count_items(data)
        raise UserError(f"{path}: too few data for four splits: expected {LEAST} items or more in each, got {items}")
    return data


def _count_items(data: data_dataset.Dataset) -> str:
    return "items: " + ", ".join(f"{count} {split}" for split, count in data.meta["counts"].items())


def _propose_judge(data: data_dataset.Dataset, entry: dict[str, Any], params: config.Params) -> dict[str, Any]:
    """A feature network that learns the labels; without labels, rotations."""
    if entry["modality"] != "images":
        return {}
    items, learner = data.meta["counts"]["train"], models.find(JUDGE)
    batch = _choose_batch(items, int(learner.defaults.get("batch", 64)))
    hyper = {key: value for key, value in learner.suggest_settings(data.spec, items).items() if key == "hyper"}
    steps = _choose_steps(params, data.spec, items, batch)
    return {"model": JUDGE, **hyper, "steps": steps, "train": {"batch": batch}}


def _propose_tasks(
    name: str, data: data_dataset.Dataset, entry: dict[str, Any], judged: bool
) -> Iterator[tuple[str, dict[str, Any]]]:
    for objective, word, margin in TASKS.get(entry["modality"], ()):
        if "judge" in find_objective(objective).requires.abilities and not judged:
            continue
        levels = {"levels": entry.get("levels", 256)} if entry["modality"] == "images" else {}
        if margin is None:  # a fiftieth of the values' spread, in their own unit
            margin = float(f"{0.02 * float(data.split('train').tensor.std(0).mean()):.1g}")
        direction = find_objective(objective).direction
        maximized = {} if direction == "minimize" else {"direction": direction}
        yield word, {"dataset": name, "objective": objective, **maximized, **levels, "margin": margin}


def _propose_experiments(
    name: str, tasks: dict[str, Any], data: data_dataset.Dataset, params: config.Params, notes: list[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """An entry for every model that takes such data and can be ranked on them; a note for each other model."""
    from genfoundry.models.base import GenerativeModel

    for model in models.names():
        kind = models.find(model)
        if not issubclass(kind, GenerativeModel) or data.modality not in kind.modalities:
            continue
        computable = computable_objectives(kind, data.modality)
        # Tasks come in the order of TASKS: a model with a likelihood is ranked by it, not by its samples.
        task = next((key for key, settings in tasks.items() if settings["objective"] in computable), None)
        if task is None:
            notes.append(f"{model} is left out: no task on these data is one that it can compute")
            continue
        try:
            entry, parameters = _size_experiment(kind, data, params)
        except UserError as error:
            notes.append(f"{model} is left out: {error}")
            continue
        levels = {"data": {"levels": tasks[task]["levels"]}} if "levels" in tasks[task] else {}
        title = f"{model.replace('_', '-')}-{name}"
        notes.append(f"{title}: {kind.likelihood} likelihood, {parameters:,} parameters, for {task}")
        yield title, {"dataset": name, "task": task, "model": model, **levels, **entry}
    if not tasks:
        notes.append(f"no model of {data.modality} is here yet: the data set stands alone, without task and experiment")


def _size_experiment(
    kind: type[GenerativeModel], data: data_dataset.Dataset, params: config.Params
) -> tuple[dict[str, Any], int]:
    """hyper, train, steps and search of an entry, and the number of weights; the model is built to see that it fits."""
    items = data.meta["counts"]["train"]
    entry = kind.suggest_settings(data.spec, items)
    # Built once here, so that no entry is proposed that the data refuse.
    model = kind(data.spec, config.check(kind.Config, entry.get("hyper", {}), "hyper", kind.__name__))
    weights = [p for player in model.players().values() for p in player]
    if not weights:  # fitted in closed form
        return entry, sum(b.numel() for b in model.buffers())
    default = int(kind.defaults.get("batch", 64))
    batch = _choose_batch(items, default)
    train = entry.get("train", {}) | ({"batch": batch} if batch != default else {})
    steps = _choose_steps(params, data.spec, items, batch)
    by_budget = {b: dict.fromkeys(kind.phases, n) if len(kind.phases) > 1 else n for b, n in steps.items()}
    parts = {"data": entry.get("data"), "hyper": entry.get("hyper"), "train": train, "steps": by_budget}
    search = {"search": entry["search"]} if "search" in entry else {}
    return {**{key: value for key, value in parts.items() if value}, **search}, sum(p.numel() for p in weights)


def _choose_batch(items: int, default: int) -> int:
    """A power of two that makes at least four batches an epoch."""
    return min(default, 1 << max(2, int(math.log2(max(items // 4, 4)))))


def _choose_steps(params: config.Params, spec: Spec, items: int, batch: int) -> dict[str, int]:
    """Steps by budget: fewer where a step costs more (large images) and where the data would be seen too often."""
    pixels = spec.shape[-1] * spec.shape[-2] if len(spec.shape) == 3 else PIXELS
    steps = {}
    for budget in params.budgets:
        most, epochs = STEPS.get(budget, STEPS["quick"]), EPOCHS.get(budget, EPOCHS["quick"])
        number = min(most * min(1.0, PIXELS / pixels), epochs * math.ceil(items / batch))
        # Two digits: a number that looks chosen, not computed, is easier to edit.
        steps[budget] = max(STEPS["smoke"], int(float(f"{number:.2g}")))
    return steps
