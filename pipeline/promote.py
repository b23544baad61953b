"""Make the best of a ranking a version of the registered model, champion only if it beats the present one on gate."""

from genfoundry import experiment, places, promote


def run(name: str) -> None:
    print(promote.promote(name, experiment.settings().tasks[name], places.Path()))
