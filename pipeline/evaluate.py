"""A trained model's scores on val, gate and test, its figures and its pictures."""

from genfoundry import evaluate, experiment, places


def run(name: str) -> None:
    one = experiment.load(name)
    device = experiment.arm(one.params)
    evaluate.evaluate(
        model=places.model(name),
        data=places.prepared(one.entry.dataset),
        judge=places.judge(one.entry.dataset),
        scores=places.scores(one.entry.dataset, name),
        figures=places.figures(name),
        panels=places.panels(name),
        samples=one.budget.samples,
        seed=one.params.seed,
        device=device,
    )
