"""Evaluate: a trained model's scores on val, gate and test, its metrics and its pictures."""

import time
from pathlib import Path

from genfoundry import config, paths
from genfoundry.evaluation import cache
from genfoundry.evaluation.run import evaluate_experiment
from genfoundry.models import checkpoint
from genfoundry.tracking import cost_log
from genfoundry.training import device
from pipeline.orchestration.engine import Engine
from pipeline.orchestration.unit import Unit

HERE = Path()


def run(unit: Unit, engine: Engine) -> None:
    engine.map(measure, [(str(unit.path),)])


def measure(path: str) -> None:
    """Measure a trained model, on whatever machine the engine chose."""
    unit = Unit.read(path)
    name, dataset, settings = unit.name, unit.settings["dataset"], unit.settings
    params = config.Run(**settings["run"])
    target, began = device.configure_torch(params), time.perf_counter()
    evaluate_experiment(
        paths.model(name),
        paths.prepared(dataset),
        paths.judge(dataset) if settings["judged"] else None,
        scores=paths.scores(dataset, name),
        figures=paths.evaluation(name),
        pictures=paths.panels(name),
        objective=settings["objective"],
        samples=settings["samples"],
        seed=params.seed,
        device=str(target),
        test_items=settings["test_items"],
        bound=config.Bound(**settings["bound"]),
        shared=cache.open_cache(HERE, settings["shared_code"], params),
    )
    took, model = time.perf_counter() - began, checkpoint.load(paths.model(name), target)
    # Times are no part of an output, whose bytes must not depend on the clock.
    costs = {"evaluate_seconds": took, **cost_log.measure_sampling_rate(model)}
    if passes := getattr(model, "passes", None):  # beside the rate, which they explain
        costs["passes_per_sample"] = passes
    cost_log.record_costs(HERE, model.card["digest"], **costs)
