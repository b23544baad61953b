"""A trained model's scores on val, gate and test, its figures and its pictures."""

import time

from genfoundry import checkpoint, costs, device, experiment, figures, places, shared

HERE = places.Path()


def run(name: str) -> None:
    one = experiment.load(name)
    target, began = device.arm(one.params), time.perf_counter()
    figures.of_experiment(
        places.model(name),
        places.prepared(one.entry.dataset),
        places.judge(one.entry.dataset),
        scores=places.scores(one.entry.dataset, name),
        figures=places.figures(name),
        pictures=places.panels(name),
        samples=one.budget.samples,
        seed=one.params.seed,
        device=str(target),
        test_items=one.budget.test_items,
        bound=one.budget.bound,
        shared=shared.here(HERE, one.params),
    )
    took, model = time.perf_counter() - began, checkpoint.load(places.model(name), target)
    costs.note(HERE, model.card["digest"], evaluate_seconds=took, **costs.samples_per_second(model))
