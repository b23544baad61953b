"""The description table against the declared expectations; a failure stops all that depends on the data set."""

from genfoundry import config, places, validate
from genfoundry.unit import Unit


def run(unit: Unit) -> None:
    expect = config.check(config.Expect, unit.settings["expect"], f"datasets.{unit.name}.expect")
    name = unit.name
    validate.validate(places.prepared(name), name, expect, places.verdict(name), places.docs(name))
