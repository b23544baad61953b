"""The reader of params.yaml: every key is checked against its schema, and the references between its parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from genfoundry.config import yaml_file
from genfoundry.config.dataset_schema import Dataset
from genfoundry.config.experiment_schema import Entry, Params, Task
from genfoundry.config.skipping import find_skipped
from genfoundry.config.strict import check, suggest_names
from genfoundry.errors import UserError

# Key of a data set's entry -> the modalities that it is for.
MODALITIES: dict[str, tuple[str, ...]] = dict.fromkeys(
    ("colour", "patch", "slices", "classes", "metadata", "stack", "flip", "levels"), ("images",)
)
MODALITIES |= {"size": ("images", "video"), "label": ("images", "video"), "moving": ("video",)}
MODALITIES |= {"alphabet": ("text", "lines", "pairs"), "unit": ("text", "lines")}
MODALITIES |= {"window": ("text", "lines", "series", "pairs", "video"), "context": ("series", "pairs", "video")}
MODALITIES |= {"align": ("pairs",), "header": ("pairs",)}
MODALITIES |= dict.fromkeys(("columns", "missing", "step", "season", "numbered"), ("series",))


def read_params(path: Path) -> Params:
    """Read params.yaml.

    Raises:
        UserError: not there, not YAML, or a key, type or name is wrong; one line a fault.
    """
    raw = yaml_file.read_yaml(path)
    if raw is None:
        raise UserError(f"{path.name}: empty; expected the keys {', '.join(Params.model_fields)}")
    if not isinstance(raw, Mapping):
        raise UserError(f"{path.name}: expected `key: value` lines at the top, got a {type(raw).__name__}")
    params = check(Params, raw, "", path.name)
    if faults := [f"{path.name}: {fault}" for fault in _check_references(params)]:
        raise UserError("\n".join(faults))
    return params


def _check_references(p: Params) -> Iterator[str]:
    """Faults of each part, and names that no other part has."""
    if p.budget not in p.budgets:
        yield from _check_name("budget", p.budget, p.budgets)
        # Everything below looks the budget up, and would repeat the fault at each step count
        return
    if p.arithmetic == "portable":
        limits = (("device", p.device, ("auto", "cpu")), ("precision", p.precision, ("float32",)))
        for key, value, allowed in limits:
            if value not in allowed:
                yield f"{key}: expected {' or '.join(allowed)} with arithmetic: portable, got {value!r}"
    for name, dataset in p.datasets.items():
        yield from _check_dataset(f"datasets.{name}", dataset)
    for name, judge in p.judges.items():
        yield from _check_name(f"judges.{name}", name, p.datasets)
        if name in p.datasets and p.datasets[name].modality != "images":
            yield f"judges.{name}: expected for images only, got a data set of {p.datasets[name].modality}"
        # A judge that the budget skips needs no steps for it
        if name not in find_skipped(p)["judges"]:
            yield from _check_name(f"judges.{name}.steps (for budget {p.budget})", p.budget, judge.steps)
    faulty = set()
    for name, task in p.tasks.items():
        faults = list(_check_task(f"tasks.{name}", task, p.datasets))
        faulty |= {name} if faults else set()
        yield from faults
    for name in p.max_minutes:
        yield from _check_name("max_minutes", name, p.experiments)
    for name, entry in p.experiments.items():
        yield from _check_experiment(f"experiments.{name}", entry, p, faulty)


def _check_name(key: str, name: str, names: Mapping[str, object]) -> Iterator[str]:
    if name not in names:
        yield f"{key}: unknown name {name!r}; {suggest_names(name, list(names))}"


def _check_dataset(where: str, dataset: Dataset) -> Iterator[str]:
    """Keys of a data set that are for another modality, and those that its own needs."""
    # A modality that a user added declares no keys here, and may not be refused any
    listed = dataset.modality in {name for names in MODALITIES.values() for name in names}  # others may use any key
    for key in sorted(dataset.model_fields_set & MODALITIES.keys()):
        if listed and dataset.modality not in MODALITIES[key]:
            only = " and ".join(MODALITIES[key])
            yield f"{where}.{key}: expected for {only} only, got a data set of {dataset.modality}"
    if dataset.modality in MODALITIES["alphabet"] and not dataset.alphabet:
        state = "''" if "alphabet" in dataset.model_fields_set else "none"
        yield f"{where}.alphabet: expected the characters that {dataset.modality} may hold, got {state}"
    if dataset.modality == "lines" and dataset.alphabet and dataset.alphabet[0] != "\n":
        yield f"{where}.alphabet: expected the newline, the end of a line, as its first, got {dataset.alphabet[0]!r}"
    if dataset.modality == "lines" and dataset.window < 2:
        yield f"{where}.window: expected 2 or more, room for a character and the end of a line, got {dataset.window}"
    if dataset.modality == "pairs" and not dataset.context:
        state = "0" if "context" in dataset.model_fields_set else "none"
        yield f"{where}.context: expected the length of the longest source (window: that of a target), got {state}"
    if dataset.modality == "video":
        yield from _check_video(where, dataset)
    if dataset.size and dataset.patch:
        yield f"{where}.patch: expected either patch or size, got both; patches are cut from the pictures as they are"
    if dataset.size and dataset.levels < 256:
        yield f"{where}.levels: expected 256, which resized images have, got {dataset.levels}; a task may ask for fewer"
    if dataset.step is not None and dataset.missing == "drop":
        yield f"{where}.missing: expected keep, interpolate or forward with a step, which puts rows in, got 'drop'"
    if dataset.numbered and not dataset.context:
        yield f"{where}.numbered: expected a context above 0, whose rows are numbered, got context: 0"


def _check_video(where: str, dataset: Dataset) -> Iterator[str]:
    """What a video cannot be made without."""
    needs = {"moving": "how its items move", "size": "the size of a frame", "context": "how many frames are given"}
    for key, what in needs.items():
        if not getattr(dataset, key):
            yield f"{where}.{key}: expected a value for a video, {what}, got none"
    if dataset.moving and dataset.size and dataset.moving.item > min(dataset.size):
        yield f"{where}.moving.item: expected to fit a frame of {list(dataset.size)}, got {dataset.moving.item}"


def _check_task(where: str, task: Task, datasets: Mapping[str, Dataset]) -> Iterator[str]:
    """Binarisation goes with 2 levels, and is stated: a metric without it could not be compared."""
    if task.dataset not in datasets:
        yield from _check_name(f"{where}.dataset", task.dataset, datasets)
        return
    if task.binarise and task.levels != 2:
        yield f"{where}.binarise: expected levels: 2 with {task.binarise!r}, got levels: {task.levels}"
    if task.levels == 2 and datasets[task.dataset].levels > 2 and not task.binarise:
        yield f"{where}.binarise: expected dynamic or threshold with levels: 2, got none"


def _check_experiment(where: str, entry: Entry, p: Params, faulty: set[str]) -> Iterator[str]:
    """The names of an experiment, and what it shares with its task; a `faulty` task is not compared."""
    yield from _check_name(f"{where}.task", entry.task, p.tasks)
    if task := p.tasks.get(entry.task):
        yield from _check_data(where, entry, p.datasets.get(entry.dataset))
        for key, value, expected in (
            ("dataset", entry.dataset, task.dataset),
            ("data.levels", entry.data.levels, task.levels),
            ("data.binarise", entry.data.binarise, task.binarise),
            ("data.labels", entry.data.labels, task.labels),
        ):
            if value != expected and entry.task not in faulty:
                yield f"{where}.{key}: expected {expected!r}, as its task {entry.task} has, got {value!r}"
    for budget in entry.seeds if isinstance(entry.seeds, dict) else ():
        yield from _check_name(f"{where}.seeds", budget, p.budgets)
    # Without steps for the budget it is skipped, which must not come of a misspelt name
    for budget in entry.steps if p.budget not in entry.steps else ():
        yield from _check_name(f"{where}.steps", budget, p.budgets)


def _check_data(where: str, entry: Entry, dataset: Dataset | None) -> Iterator[str]:
    """Few labels are for images with classes (how many items have them is known once prepared), streams for text."""
    data = entry.data
    if data.labelled is not None and data.labels is None:
        yield f"{where}.data.labelled: expected data.labels, a number of labels, with it, got {data.labelled} alone"
    if "resets" in data.model_fields_set and data.streams is None:
        yield f"{where}.data.resets: expected data.streams with it, got {data.resets} alone"
    if dataset is None:
        return
    for key, given, modality in (
        ("without", bool(data.without), "images"),
        ("streams", data.streams is not None, "text"),
        ("labels", data.labels is not None, "images"),
    ):
        if given and dataset.modality != modality:
            yield f"{where}.data.{key}: expected for {modality} only, got a data set of {dataset.modality}"
    if data.labels is not None and dataset.expect.labels and data.labels < dataset.expect.labels:
        yield f"{where}.data.labels: expected one or more for {dataset.expect.labels} classes each, got {data.labels}"
