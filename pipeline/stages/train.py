"""Train an experiment with its tuned settings, from the last checkpoint if an earlier process was killed."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from genfoundry import checkpoint, costs, device, experiment, graph, places, session
from genfoundry.data import labels
from genfoundry.data.base import Dataset, Split
from genfoundry.tracking import live as tracking
from genfoundry.types import Event

HERE = places.Path()


def run(name: str) -> float:
    one = experiment.load(name, overlay=checkpoint.read_json(places.tuning(name) / "overlay.json"))
    target = device.arm(one.params)
    data = Dataset(places.prepared(one.entry.dataset))
    split = data.split("train", one.task.levels, one.task.binarise, target)
    state = graph.state(f"train@{name}", HERE)
    card = {
        "experiment": name,
        "dataset": one.entry.dataset,
        "task": one.entry.task,
        "data": one.entry.data.model_dump(),
        "meta": {key: data.meta[key] for key in ("modality", "alphabet", "names", "declared") if key in data.meta},
        "train": one.train.model_dump(mode="json"),
        "device": target.type,
        "precision": one.params.precision,
        "threads": one.params.threads,
        "digests": {"data": data.meta["digest"]},
    }
    limit = session.Limit(name, one.params.max_minutes.get(name))
    finished = [state / f"seed-{number}" for number in range(len(one.keys))]
    with tracking.Live(HERE, name, one.entry.task, state.name) as live:
        live.done(trained(one, split, 0, finished[0], card, target, limit, live.log))
    for number, folder in enumerate(finished[1:], start=1):  # their spread is in the evaluation, not in MLflow
        trained(one, split, number, folder, card, target, limit)
    with checkpoint.fresh(places.model(name)) as folder:
        shutil.copytree(finished[0] / "done", folder, dirs_exist_ok=True)
        for number, other in enumerate(finished[1:], start=1):
            shutil.copytree(other / "done", folder / "seeds" / str(number))
    checkpoint.write_bytes(places.curves(name), (finished[0] / "curves.csv").read_bytes())
    shutil.rmtree(state, ignore_errors=True)
    return float(live.overhead)


def trained(
    one: experiment.Experiment,
    split: Split,
    number: int,
    folder: Path,
    card: dict[str, Any],
    target: torch.device,
    limit: session.Limit,
    watch: Callable[[Event], None] = lambda event: None,
) -> str:
    """One training with one seed: the model in folder/done, its curves beside it; returns the model's digest."""
    if (folder / "done/model.json").exists():  # an earlier process got this far
        return str(checkpoint.read_json(folder / "done/model.json")["digest"])
    key = one.keys[number]
    loader = labels.loader(split, one.entry.data, one.train.batch, key, one.entry.dataset, number)
    model = one.build(loader.split.spec, key).to(target)
    began, resumed = time.perf_counter(), (folder / "state.safetensors").exists()
    events = session.session(model, loader, one.train, key=key, folder=folder, watch=watch, limit=limit)
    took, steps = time.perf_counter() - began, sum(one.train.steps.values())
    checkpoint.write_bytes(folder / "curves.csv", session.curves(events).encode())
    digest = checkpoint.save(folder / "done", model, {**card, "training": number})
    measured: dict[str, float | str] = {"parameters": sum(p.numel() for p in model.parameters()), "device": target.type}
    if not resumed:
        measured |= {"train_seconds": took, "peak_memory_bytes": costs.peak_memory(str(target))}
        if steps:
            session.remember_speed(experiment.SPEED, one.name, took / steps)
            measured["train_items_per_second"] = steps * one.train.batch / took
    costs.note(HERE, digest, **measured)
    return digest
