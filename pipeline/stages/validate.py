"""The description table against the declared expectations; a failure stops all that depends on the data set."""

from genfoundry import experiment, places, validate


def run(name: str) -> None:
    expect = experiment.settings().datasets[name].expect
    validate.validate(places.prepared(name), name, expect, places.verdict(name), places.docs(name))
