"""Baselines: measure the reference rows of a task (trivial models, compressors, floor and ceiling)."""

from genfoundry import config, paths
from genfoundry.evaluation.run import evaluate_baselines
from genfoundry.training import device
from pipeline.orchestration.engine import Engine
from pipeline.orchestration.unit import Unit


def run(unit: Unit, engine: Engine) -> None:
    engine.map(measure, [(str(unit.path),)])


def measure(path: str) -> None:
    """Measure the reference rows of a task, on whatever machine the engine chose."""
    unit = Unit.read(path)
    params, task = config.Run(**unit.settings["run"]), unit.settings["task"]
    device.configure_torch(params)  # threads and determinism; trivial models need no GPU
    evaluate_baselines(
        unit.name,
        paths.prepared(task["dataset"]),
        paths.judge(task["dataset"]) if unit.settings["judged"] else None,
        dataset_name=task["dataset"],
        out=paths.baselines(unit.name),
        levels=task["levels"],
        binarise=task["binarise"],
        labels=task["labels"],
        objective=task["objective"],
        samples=unit.settings["samples"],
        test_items=unit.settings["test_items"],
        seed=params.seed,
    )
