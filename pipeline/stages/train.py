"""Tune an experiment, then train it with the settings found, from the last checkpoint if an earlier process was killed.

Trials and trainings are calls of their own, which the engine may send to other machines; this process keeps the books.
"""

import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from genfoundry import files, paths
from genfoundry.data import loaders
from genfoundry.data.dataset import Dataset
from genfoundry.experiment import Experiment
from genfoundry.models import checkpoint
from genfoundry.tracking import cost_log
from genfoundry.tracking import live as tracking
from genfoundry.training import device, session
from genfoundry.types import Event
from pipeline.orchestration.engine import Engine
from pipeline.orchestration.unit import Unit

HERE = Path()


def run(unit: Unit, engine: Engine, state: Path) -> float:
    """Returns the seconds that the end waited for MLflow's log."""
    one, began = Experiment.from_settings(unit.name, unit.settings), time.time()
    chosen: Mapping[str, Any] = {}
    if one.trials:
        from pipeline.stages import tune

        chosen = tune.run(unit, one, engine, state, began)
    else:
        write_no_trials(one)
    calls = [(str(unit.path), number, chosen, str(state), began) for number in range(len(one.keys))]
    overhead = engine.map(train_seed, calls)
    finished = [state / f"seed-{number}" for number in range(len(calls))]
    with files.replace_dir(paths.model(unit.name)) as folder:
        shutil.copytree(finished[0] / "done", folder, dirs_exist_ok=True)
        for number, other in enumerate(finished[1:], start=1):
            shutil.copytree(other / "done", folder / "seeds" / str(number))
    files.write_bytes(paths.curves(unit.name), (finished[0] / "curves.csv").read_bytes())
    shutil.rmtree(state, ignore_errors=True)
    return sum(overhead)


def write_no_trials(one: Experiment) -> None:
    """The outs of a tuning that searches nothing."""
    summary = {"objective": one.task.objective, "trials": 0, "steps": 0, "whole": sum(one.train.steps.values())}
    with files.replace_dir(paths.tuning(one.name)) as folder:
        files.write_json(folder / "overlay.json", {})
        files.write_json(folder / "summary.json", summary | dict.fromkeys(("default", "best", "gain")))
        files.write_bytes(folder / "trials.jsonl", b"")


def train_seed(path: str, number: int, chosen: Mapping[str, Any], state: str, began: float) -> float:
    """One training with one seed, in whichever process; the first is the model, and is logged to MLflow as it runs."""
    unit = Unit.read(path)
    one = Experiment.from_settings(unit.name, unit.settings).with_settings(chosen)
    folder = Path(state, f"seed-{number}")
    if number:  # their spread is in the evaluation, not in MLflow
        train(one, number, folder, session.Limit.read(one.name, began))
        return 0.0
    with tracking.LiveLogger(HERE, one.name, one.entry.task, Path(state).name) as live:
        live.done(train(one, number, folder, session.Limit.read(one.name, began), live.log))
    return float(live.overhead)


def train(
    one: Experiment,
    number: int,
    folder: Path,
    limit: session.Limit,
    watch: Callable[[Event], None] = lambda event: None,
) -> str:
    """The model in folder/done, its curves beside it; returns the model's digest."""
    if (folder / "done/model.json").exists():  # an earlier process got this far
        return str(files.read_json(folder / "done/model.json")["digest"])
    target, key = device.configure_torch(one.run), one.keys[number]
    data = Dataset(paths.prepared(one.entry.dataset))
    split = data.split("train", one.task.levels, one.task.binarise, target)
    loader = loaders.make_loader(split, one.entry.data, one.train.batch, key, one.entry.dataset, number)
    model = one.build(loader.split.spec, key).to(target)
    began, resumed = time.perf_counter(), (folder / "state.safetensors").exists()
    events = session.session(model, loader, one.train, key=key, folder=folder, watch=watch, limit=limit)
    took, steps = time.perf_counter() - began, sum(one.train.steps.values())
    files.write_bytes(folder / "curves.csv", session.curves(events).encode())
    digest = checkpoint.save(folder / "done", model, card(one, data, target.type) | {"training": number})
    measured: dict[str, float | str] = {"parameters": sum(p.numel() for p in model.parameters()), "device": target.type}
    if not resumed:
        measured |= {"train_seconds": took, "peak_memory_bytes": cost_log.measure_peak_memory(str(target))}
        if steps:
            session.remember_speed(paths.SPEED, one.name, took / steps)
            measured["train_items_per_second"] = steps * one.train.batch / took
    cost_log.record_costs(HERE, digest, **measured)
    return digest


def card(one: Experiment, data: Dataset, device_type: str) -> dict[str, Any]:
    """What model.json says of a model beside its configuration: what it was trained on, for, and how."""
    return {
        "experiment": one.name,
        "dataset": one.entry.dataset,
        "task": one.entry.task,
        "data": one.entry.data.model_dump(),
        "meta": {key: data.meta[key] for key in ("modality", "alphabet", "names", "declared") if key in data.meta},
        "train": one.train.model_dump(mode="json"),
        "device": device_type,
        "precision": one.run.precision,
        "threads": one.run.threads,
        "digests": {"data": data.meta["digest"]},
    }
