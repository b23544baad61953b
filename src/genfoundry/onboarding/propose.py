"""From a path to entries of params.yaml: the data set, tasks on it, and an experiment for every model that fits.

Models are found by their declarations (`modalities`, `likelihood`, abilities, `suggest_settings`), never by name.
"""

from __future__ import annotations

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
from genfoundry.onboarding.inspect.result import Inspection
from genfoundry.types import Spec

if TYPE_CHECKING:
    from genfoundry.models.base import GenerativeModel

# Objective, what the task is called, the margin; in the order in which a model takes the first that it can compute.
TASKS = {
    "images": (("bits_per_dim", "density", 0.01), ("frechet", "samples", 5.0)),
    "text": (("nats_per_char", "density", 0.01),),
    "series": (("mae", "forecast", None),),
    "pairs": (("chrf", "translation", 1.0),),
}
JUDGE = "judge"  # the classifier whose features compare samples of images
STEPS = {"smoke": 20, "quick": 1000, "standard": 30_000, "full": 100_000}  # at 28 x 28 pixels
EPOCHS = {"smoke": 1, "quick": 30, "standard": 300, "full": 1000}  # and no more than this
PIXELS = 28 * 28
LEAST = 2  # items in a split, or figures have no spread


@dataclass(frozen=True)
class Proposal:
    """Entries by section of params.yaml, and what was chosen and why, a line each."""

    sections: dict[str, dict[str, Any]]
    said: list[str] = field(default_factory=list)


def propose(path: Path, name: str, params: config.Params, given: Mapping[str, Any] = {}) -> Proposal:
    """Look at the files, prepare them once in a scratch folder, and size everything by what came out.

    `given` are keys of the entry that the user chose, such as `classes: top`.

    Raises:
        UserError: the path has nothing usable, or too little for four splits.
    """
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
            (raw / path.name).symlink_to(path.resolve())
        seen = _told(raw, path, given)
        seen.said.extend(f"{key}: {value}, as given" for key, value in given.items() if seen.entry.get(key) != value)
        entry = {**seen.entry, **given, "raw": {"path": str(path)}}
        dataset = config.check(config.Dataset, entry, f"datasets.{name}", "init")
        while True:
            try:
                data = _prepared(raw, Path(scratch), dataset, params.seed, path)
                break
            except UserError as error:
                seen.said.append(_helped(entry, error))
                dataset = config.check(config.Dataset, entry, f"datasets.{name}", "init")
        import pandas as pd

        frame = pd.read_parquet(data.folder / "describe.parquet")
        entry["expect"], unfit = drop_unmet(infer_expectations(frame, dataset, data.spec.classes), frame)
        said = [*seen.said, _counted(data), *unfit]
        if entry["modality"] == "images" and not data.spec.classes:
            said.append("no labels: the judge of samples learns by how much images are turned")
        judge = _judge(data, entry, params)
        tasks = {f"{name}-{word}": task for word, task in _tasks(name, data, entry, bool(judge))}
        experiments = dict(_experiments(name, tasks, data, params, said))
    used = {one["task"] for one in experiments.values()}
    tasks = {task: one for task, one in tasks.items() if task in used}
    judges = {name: judge} if judge else {}
    sections = {"datasets": {name: _ordered(entry)}, "judges": judges, "tasks": tasks, "experiments": experiments}
    return Proposal(sections, said)


def _helped(entry: dict[str, Any], error: UserError) -> str:
    """Put what a refusal asks for into the entry, and say why; raise the error where no key helps."""
    slices, split = entry.get("slices", {}), entry.get("split", {})
    if "missing: background" in str(error) and slices and "missing" not in slices:
        entry["slices"] = {**slices, "missing": "background"}
        return f"slices: missing: background: {str(error).partition('; slices:')[0]}"
    if isinstance(error, FewGroups) and "few_groups" not in split:
        entry["split"] = {**split, "few_groups": True}
        why = str(error).partition(", or say ")[0]
        return f"split: few_groups: true: figures of a split of one group have no interval: {why}"
    raise error


def _told(raw: Path, path: Path, given: Mapping[str, Any]) -> Inspection:
    """`look`, its messages about the path as the user gave it."""
    try:
        return inspect_data(raw, given)
    except UserError as error:
        raise UserError(str(error).replace(f"{raw}/{path.name}", str(path)).replace(str(raw), str(path))) from None


def _prepared(raw: Path, scratch: Path, dataset: config.Dataset, seed: int, path: Path) -> data_dataset.Dataset:
    try:
        preparation.prepare(raw, scratch / "inbox", scratch / "prepared", dataset, seed)
    except preparation.EmptySplit:
        raise UserError(f"{path}: too few data for four splits; {LEAST} items in each are the least") from None
    except UserError as error:
        raise type(error)(str(error).replace(f"{raw}/{path.name}", str(path)).replace(str(raw), str(path))) from None
    data = data_dataset.Dataset(scratch / "prepared")
    if min(data.meta["counts"].values()) < LEAST:
        raise UserError(f"{path}: too few data for four splits: {_counted(data)}; {LEAST} items in each are the least")
    return data


def _counted(data: data_dataset.Dataset) -> str:
    return "items: " + ", ".join(f"{count} {split}" for split, count in data.meta["counts"].items())


def _ordered(entry: dict[str, Any]) -> dict[str, Any]:
    first = ("modality", "raw")
    return {**{key: entry[key] for key in first}, **{k: v for k, v in entry.items() if k not in first}}


def _judge(data: data_dataset.Dataset, entry: dict[str, Any], params: config.Params) -> dict[str, Any]:
    """A network that learns the labels; without them, by itself, rotations."""
    if entry["modality"] != "images":
        return {}
    items, learner = data.meta["counts"]["train"], models.find(JUDGE)
    batch = _batch(items, int(learner.defaults.get("batch", 64)))
    own = {key: value for key, value in learner.suggest_settings(data.spec, items).items() if key == "hyper"}
    steps = _steps(params, data.spec, items, batch)
    return {"model": JUDGE, **own, "steps": steps, "train": {"batch": batch}}


def _tasks(
    name: str, data: data_dataset.Dataset, entry: dict[str, Any], judged: bool
) -> Iterator[tuple[str, dict[str, Any]]]:
    for objective, word, margin in TASKS.get(entry["modality"], ()):
        if "judge" in find_objective(objective).requires.abilities and not judged:
            continue
        levels = {"levels": entry.get("levels", 256)} if entry["modality"] == "images" else {}
        if margin is None:  # a fiftieth of the values' spread, in their own unit
            margin = float(f"{0.02 * float(data.split('train').tensor.std(0).mean()):.1g}")
        direction = find_objective(objective).direction
        turned = {} if direction == "minimize" else {"direction": direction}
        yield word, {"dataset": name, "objective": objective, **turned, **levels, "margin": margin}


def _experiments(
    name: str, tasks: dict[str, Any], data: data_dataset.Dataset, params: config.Params, said: list[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """An entry for every model that takes such data and can be ranked on them; why the others are left out is said."""
    from genfoundry.models.base import GenerativeModel

    for model in models.names():
        kind = models.find(model)
        if not issubclass(kind, GenerativeModel) or data.modality not in kind.modalities:
            continue
        able = computable_objectives(kind, data.modality)
        task = next((key for key, one in tasks.items() if one["objective"] in able), None)
        if task is None:
            said.append(f"{model} is left out: no task on these data is one that it can compute")
            continue
        try:
            entry, parameters = _sized(kind, data, params)
        except UserError as error:
            said.append(f"{model} is left out: {error}")
            continue
        levels = {"data": {"levels": tasks[task]["levels"]}} if "levels" in tasks[task] else {}
        title = f"{model.replace('_', '-')}-{name}"
        said.append(f"{title}: {kind.likelihood} likelihood, {parameters:,} parameters, for {task}")
        yield title, {"dataset": name, "task": task, "model": model, **levels, **entry}
    if not tasks:
        said.append(f"no model of {data.modality} is here yet: the data set stands alone, without task and experiment")


def _sized(
    kind: type[GenerativeModel], data: data_dataset.Dataset, params: config.Params
) -> tuple[dict[str, Any], int]:
    """hyper, train, steps and search of an entry, and the number of weights: the model is built once to see it fit."""
    items = data.meta["counts"]["train"]
    entry = kind.suggest_settings(data.spec, items)
    model = kind(data.spec, config.check(kind.Config, entry.get("hyper", {}), "hyper", kind.__name__))
    trained = [p for player in model.players().values() for p in player]
    if not trained:  # fitted in closed form
        return entry, sum(b.numel() for b in model.buffers())
    default = int(kind.defaults.get("batch", 64))
    batch = _batch(items, default)
    train = entry.get("train", {}) | ({"batch": batch} if batch != default else {})
    steps = _steps(params, data.spec, items, batch)
    each = {b: dict.fromkeys(kind.phases, n) if len(kind.phases) > 1 else n for b, n in steps.items()}
    search = {"search": entry["search"]} if "search" in entry else {}
    parts = (("data", entry.get("data")), ("hyper", entry.get("hyper")), ("train", train))
    own = {key: value for key, value in parts if value}
    return {**own, "steps": each, **search}, sum(p.numel() for p in trained)


def _batch(items: int, default: int) -> int:
    """A power of two: at least four batches an epoch."""
    return min(default, 1 << max(2, int(math.log2(max(items // 4, 4)))))


def _steps(params: config.Params, spec: Spec, items: int, batch: int) -> dict[str, int]:
    """Steps a budget: fewer where a step costs more (large images) and where the data would be seen too often."""
    pixels = spec.shape[-1] * spec.shape[-2] if len(spec.shape) == 3 else PIXELS
    found = {}
    for budget in params.budgets:
        most, epochs = STEPS.get(budget, STEPS["quick"]), EPOCHS.get(budget, EPOCHS["quick"])
        number = min(most * min(1.0, PIXELS / pixels), epochs * math.ceil(items / batch))
        found[budget] = max(STEPS["smoke"], int(float(f"{number:.2g}")))
    return found
