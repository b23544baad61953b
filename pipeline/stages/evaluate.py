"""A trained model's scores on val, gate and test, its figures and its pictures."""

import time
from pathlib import Path

from genfoundry import checkpoint, config, costs, device, figures, places, shared
from genfoundry.unit import Unit
from pipeline.orchestration.engine import Engine

HERE = Path()


def run(unit: Unit, engine: Engine) -> None:
    engine.map(measure, [(str(unit.path),)])


def measure(path: str) -> None:
    """Measure a trained model, in whichever process."""
    unit = Unit.read(path)
    name, dataset, settings = unit.name, unit.settings["dataset"], unit.settings
    params = config.Run(**settings["run"])
    target, began = device.arm(params), time.perf_counter()
    figures.of_experiment(
        places.model(name),
        places.prepared(dataset),
        places.judge(dataset) if settings["judged"] else None,
        scores=places.scores(dataset, name),
        figures=places.figures(name),
        pictures=places.panels(name),
        objective=settings["objective"],
        samples=settings["samples"],
        seed=params.seed,
        device=str(target),
        test_items=settings["test_items"],
        bound=config.Bound(**settings["bound"]),
        shared=shared.here(HERE, settings["shared_code"], params),
    )
    took, model = time.perf_counter() - began, checkpoint.load(places.model(name), target)
    costs.note(HERE, model.card["digest"], evaluate_seconds=took, **costs.samples_per_second(model))
