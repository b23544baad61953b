"""A trained model's scores on val, gate and test, its figures and its pictures."""

from genfoundry import device, experiment, figures, places


def run(name: str) -> None:
    one = experiment.load(name)
    target = device.arm(one.params)
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
    )
