"""Tune an experiment, then train it with the best settings, from the last checkpoint if an earlier process was killed.

Trials and trainings are calls of their own, which the engine may send to other machines; this process keeps the books.
"""

import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from genfoundry import files, paths
from genfoundry.data.dataset import Dataset
from genfoundry.evaluation.class_share import ClassShare
from genfoundry.models import checkpoint
from genfoundry.tracking import cost_log
from genfoundry.tracking import live as tracking
from genfoundry.training import device, health
from genfoundry.training.experiment import Experiment
from genfoundry.training.trainer import Limit, format_curves, record_pace
from genfoundry.types import Event
from pipeline.orchestration.engine import Engine
from pipeline.orchestration.unit import Unit

HERE = Path()


def run(unit: Unit, engine: Engine, state: Path) -> float:
    """Tune and train; returns the seconds that the end waited for MLflow's log."""
    experiment, began = Experiment.from_settings(unit.name, unit.settings), time.time()
    best: Mapping[str, Any] = {}
    if experiment.trials:
        from pipeline.stages import tune

        best = tune.run(unit, experiment, engine, state, began)
    else:
        write_no_trials(experiment)
    # Plain values, which an engine can send to another machine.
    calls = [(str(unit.path), number, best, str(state), began) for number in range(len(experiment.keys))]
    overhead = engine.map(train_seed, calls)
    finished = [state / f"seed-{number}" for number in range(len(calls))]
    with files.replace_dir(paths.model(unit.name)) as folder:
        # The trainings of other seeds are kept below the model: evaluation measures their spread.
        shutil.copytree(finished[0] / "done", folder, dirs_exist_ok=True)
        for number, other in enumerate(finished[1:], start=1):
            shutil.copytree(other / "done", folder / "seeds" / str(number))
    files.write_bytes(paths.curves(unit.name), (finished[0] / "curves.csv").read_bytes())
    # After the outputs are complete: a kill before this line resumes from the checkpoint.
    shutil.rmtree(state, ignore_errors=True)
    return sum(overhead)


def write_no_trials(experiment: Experiment) -> None:
    """Write the tuning outputs of an experiment without a search space."""
    steps = {"steps": 0, "whole": sum(experiment.train.steps.values())}
    summary = {"objective": experiment.task.objective, "trials": 0, **steps}
    with files.replace_dir(paths.tuning(experiment.name)) as folder:
        files.write_json(folder / "overlay.json", {})
        files.write_json(folder / "summary.json", summary | dict.fromkeys(("default", "best", "gain")))
        files.write_bytes(folder / "trials.jsonl", b"")


def train_seed(path: str, number: int, best: Mapping[str, Any], state: str, began: float) -> float:
    """Train with one seed. The first training gives the model, and is logged to MLflow while it runs."""
    unit = Unit.read(path)
    experiment = Experiment.from_settings(unit.name, unit.settings).with_settings(best)
    folder, limit = Path(state, f"seed-{number}"), Limit.read(unit.name, began)
    if number:  # the spread of the seeds is in the evaluation, not in MLflow
        train(experiment, number, folder, limit)
        return 0.0
    with tracking.LiveLogger(HERE, experiment.name, experiment.entry.task, Path(state).name) as live:
        judge = paths.judge(experiment.entry.dataset) if unit.settings["judged"] else None
        live.done(train(experiment, number, folder, limit, live.log, judge))
    return float(live.overhead)


def train(
    experiment: Experiment,
    number: int,
    folder: Path,
    limit: Limit,
    on_event: Callable[[Event], None] = lambda event: None,
    judge: Path | None = None,
) -> str:
    """Write the model to folder/done and its curves beside it; returns the model's digest.

    The samples of an adversarial model are classified by the judge in a folder while it trains, if there is one.
    """
    if (folder / "done/model.json").exists():  # an earlier process got this far
        return str(files.read_json(folder / "done/model.json")["digest"])
    target, settings, task = device.configure_torch(experiment.run), experiment.train, experiment.task
    data = Dataset(paths.prepared(experiment.entry.dataset))
    split = data.split("train", task.levels, task.binarise, target)
    trainer = experiment.trainer(split, number, folder=folder, limit=limit, on_event=on_event)
    trainer.name = str(trainer.key[-1])
    if judge is not None and health.is_adversarial(experiment.kind):
        trainer.probe = ClassShare.read(judge, trainer.key, str(target))
    model = experiment.build(trainer.loader.split.spec, trainer.key).to(target)
    began, resumed = time.perf_counter(), (folder / "state.safetensors").exists()
    events = trainer.fit(model)
    took, steps = time.perf_counter() - began, sum(settings.steps.values())
    files.write_bytes(folder / "curves.csv", format_curves(events).encode())
    card = make_card(experiment, data, target.type) | {"training": number}
    if collapse := health.find_collapse(events):
        card["collapse"] = collapse
    digest = checkpoint.save(folder / "done", model, card)
    costs: dict[str, float | str] = {"parameters": sum(p.numel() for p in model.parameters()), "device": target.type}
    # A resumed training has measured its last part alone, which would look cheap.
    if not resumed:
        costs |= {"train_seconds": took, "peak_memory_bytes": cost_log.measure_peak_memory(str(target))}
        if steps:
            record_pace(paths.SPEED, experiment.name, took / steps)
            costs["train_items_per_second"] = steps * settings.batch / took
    cost_log.record_costs(HERE, digest, **costs)
    return digest


def make_card(experiment: Experiment, data: Dataset, device_type: str) -> dict[str, Any]:
    """Make the card for model.json: the data, task and training settings of a model."""
    entry, run = experiment.entry, experiment.run
    return {
        "experiment": experiment.name,
        "dataset": entry.dataset,
        "task": entry.task,
        "data": entry.data.model_dump(),
        "meta": {key: data.meta[key] for key in ("modality", "alphabet", "names", "declared") if key in data.meta},
        "train": experiment.train.model_dump(mode="json"),
        "device": device_type,
        "precision": run.precision,
        "threads": run.threads,
        "digests": {"data": data.meta["digest"]},
    }
