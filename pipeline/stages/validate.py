"""Validate: the description table against its expectations; a failure stops all that depends on the data set."""

from genfoundry import config, paths
from genfoundry.data.validation import great_expectations
from pipeline.orchestration.unit import Unit


def run(unit: Unit) -> None:
    """Validate a prepared data set."""
    expect = config.check(config.Expect, unit.settings["expect"], f"datasets.{unit.name}.expect")
    name = unit.name
    great_expectations.validate(paths.prepared(name), name, expect, paths.verdict(name), paths.docs(name))
