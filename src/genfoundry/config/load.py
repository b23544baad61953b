"""params.yaml, read once: every key held to its schema, and what one part says of another to that part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from genfoundry.config import yaml_file
from genfoundry.config.dataset_schema import Dataset
from genfoundry.config.experiment_schema import Entry, Params, Task
from genfoundry.config.strict import alternatives, check
from genfoundry.errors import UserError


def read(path: Path) -> Params:
    """params.yaml, checked against the schemas and for references between its parts.

    Raises:
        UserError: not there, not YAML, or a key, type or name is wrong; one line a fault.
    """
    raw = yaml_file.load(path)
    if raw is None:
        raise UserError(f"{path.name}: empty; expected the keys {', '.join(Params.model_fields)}")
    if not isinstance(raw, Mapping):
        raise UserError(f"{path.name}: expected `key: value` lines at the top, got a {type(raw).__name__}")
    if moved := _moved_judges(raw):
        raise UserError("\n".join(f"{path.name}: {line}" for line in moved))
    params = check(Params, raw, "", path.name)
    faults = list(_references(params))
    if faults:
        raise UserError("\n".join(f"{path.name}: {fault}" for fault in faults))
    return params


def _moved_judges(raw: Mapping[str, object]) -> list[str]:
    """A line for each judge that stands in its data set's entry, as in files of old."""
    datasets = raw.get("datasets")
    entries = datasets.items() if isinstance(datasets, Mapping) else ()
    return [
        f"datasets.{name}.judge: expected under judges.{name}, a section of its own"
        for name, entry in entries
        if isinstance(entry, Mapping) and "judge" in entry
    ]


IMAGES = ("colour", "patch", "slices", "classes", "flip", "levels")
ONLY: dict[str, tuple[str, ...]] = dict.fromkeys(IMAGES, ("images",))
ONLY |= {"size": ("images", "video"), "label": ("images", "video"), "moving": ("video",)}
ONLY |= {"alphabet": ("text", "lines", "pairs"), "unit": ("text", "lines")}
ONLY |= {"window": ("text", "lines", "series", "pairs", "video"), "context": ("series", "pairs", "video")}
ONLY |= {"align": ("pairs",), "header": ("pairs",)}
ONLY |= dict.fromkeys(("columns", "missing", "step", "season", "numbered"), ("series",))


def _declared(where: str, dataset: Dataset) -> Iterator[str]:
    """Keys of a data set that are for another modality, and those that its own needs."""
    listed = dataset.modality in {name for names in ONLY.values() for name in names}  # others may use every key
    for key in sorted(dataset.model_fields_set & ONLY.keys()):
        if listed and dataset.modality not in ONLY[key]:
            yield f"{where}.{key}: for {' and '.join(ONLY[key])} only; this data set's modality is {dataset.modality}"
    if dataset.modality in ONLY["alphabet"] and not dataset.alphabet:
        state = "empty" if "alphabet" in dataset.model_fields_set else "missing"
        yield f"{where}.alphabet: {state}; {dataset.modality} needs the characters that it may hold"
    if dataset.modality == "lines" and dataset.alphabet and dataset.alphabet[0] != "\n":
        yield f"{where}.alphabet: begins with {dataset.alphabet[0]!r}; lines need the newline, their end, as its first"
    if dataset.modality == "lines" and dataset.window < 2:
        yield f"{where}.window: {dataset.window}; lines need room for a character and the end, 2 or more"
    if dataset.modality == "pairs" and not dataset.context:
        state = "0" if "context" in dataset.model_fields_set else "missing"
        yield f"{where}.context: {state}; pairs need the length of the longest source, and window that of a target"
    if dataset.modality == "video":
        yield from _video(where, dataset)
    if dataset.size and dataset.patch:
        yield f"{where}.patch: not with size; patches are cut from the pictures as they are"
    if dataset.size and dataset.levels < 256:
        yield f"{where}.levels: {dataset.levels}, but with a size images have 256; a task may ask for fewer"
    if dataset.step is not None and dataset.missing == "drop":
        yield f"{where}.missing: 'drop', but with a step missing rows are put in; keep, interpolate or forward is right"
    if dataset.numbered and not dataset.context:
        yield f"{where}.numbered: true, but there is no past whose rows could be numbered; context: a number is right"


def _video(where: str, dataset: Dataset) -> Iterator[str]:
    """What a video cannot be made without."""
    needs = {"moving": "how its items move", "size": "that of a frame", "context": "how many frames are given"}
    missing = [key for key in needs if not getattr(dataset, key)]
    yield from (f"{where}.{key}: missing; a video needs it: {needs[key]}" for key in missing)
    if dataset.moving and dataset.size and dataset.moving.item > min(dataset.size):
        yield f"{where}.moving.item: {dataset.moving.item}, above the frame's {list(dataset.size)}; make it smaller"


def _binarised(where: str, task: Task, dataset: Dataset) -> Iterator[str]:
    """Binarisation goes with 2 levels, and is stated: a figure without it could not be compared."""
    if task.binarise and task.levels != 2:
        yield f"{where}.binarise: {task.binarise!r}, but levels is {task.levels}; levels: 2 is right"
    if task.levels == 2 and dataset.levels > 2 and not task.binarise:
        yield f"{where}.binarise: missing; levels: 2 wants dynamic or threshold"


def _labelled(where: str, entry: Entry, dataset: Dataset | None) -> Iterator[str]:
    """Few labels are for images with classes (how many items have them is known once prepared), streams for text."""
    data = entry.data
    if data.labelled is not None and data.labels is None:
        yield f"{where}.data.labelled: {data.labelled}, but data.labels is not set; a number of labels goes with it"
    if data.without and dataset is not None and dataset.modality != "images":
        yield f"{where}.data.without: for images only; this data set's modality is {dataset.modality}"
    if data.streams is not None and dataset is not None and dataset.modality != "text":
        yield f"{where}.data.streams: for text only; this data set's modality is {dataset.modality}"
    if "resets" in data.model_fields_set and data.streams is None:
        yield f"{where}.data.resets: {data.resets}, but data.streams is not set; resets go with it"
    if data.labels is None or dataset is None:
        return
    if dataset.modality != "images":
        yield f"{where}.data.labels: for images only; this data set's modality is {dataset.modality}"
    if dataset.expect.labels and data.labels < dataset.expect.labels:
        yield f"{where}.data.labels: {data.labels}, but there are {dataset.expect.labels} classes; as many or more"


def _references(p: Params) -> list[str]:
    faults = []

    def known(key: str, name: str, names: Mapping[str, object]) -> bool:
        if name not in names:
            faults.append(f"{key}: {name!r} is not known; {alternatives(name, list(names))}")
        return name in names

    if not known("budget", p.budget, p.budgets):
        return faults
    if p.arithmetic == "portable":
        limits = (("device", p.device, ("auto", "cpu")), ("precision", p.precision, ("float32",)))
        faults += [
            f"{key}: {value!r}: arithmetic: portable takes {' or '.join(allowed)}"
            for key, value, allowed in limits
            if value not in allowed
        ]
    for name, dataset in p.datasets.items():
        faults += _declared(f"datasets.{name}", dataset)
    for name, judge in p.judges.items():
        if known(f"judges.{name}", name, p.datasets) and p.datasets[name].modality != "images":
            faults.append(f"judges.{name}: for images only; this data set's modality is {p.datasets[name].modality}")
        known(f"judges.{name}.steps (for budget {p.budget})", p.budget, judge.steps)
    sound = set()
    for name, task in p.tasks.items():
        before = len(faults)
        if known(f"tasks.{name}.dataset", task.dataset, p.datasets):
            faults += _binarised(f"tasks.{name}", task, p.datasets[task.dataset])
        sound |= {name} if len(faults) == before else set()
    for name in p.max_minutes:
        known("max_minutes", name, p.experiments)
    for name, entry in p.experiments.items():
        where = f"experiments.{name}"
        if known(f"{where}.task", entry.task, p.tasks):
            home = p.tasks[entry.task]
            faults += _labelled(where, entry, p.datasets.get(entry.dataset))
            for key, here, there in (
                ("dataset", entry.dataset, home.dataset),
                ("data.levels", entry.data.levels, home.levels),
                ("data.binarise", entry.data.binarise, home.binarise),
                ("data.labels", entry.data.labels, home.labels),
            ):
                if here != there and entry.task in sound:  # a task's own fault is said once, not by its experiments
                    faults.append(f"{where}.{key}: {here!r}, but its task {entry.task} has {there!r}; make them equal")
        if isinstance(entry.seeds, dict):
            for budget in entry.seeds:
                known(f"{where}.seeds", budget, p.budgets)
        if entry.steps:
            known(f"{where}.steps (for budget {p.budget})", p.budget, entry.steps)
    return faults
