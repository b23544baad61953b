"""Prepare: raw files and the inbox become four splits as arrays, their spec and a description table."""

from genfoundry import config, paths
from genfoundry.data import preparation
from pipeline.orchestration.unit import Unit


def run(unit: Unit) -> None:
    """Prepare a data set."""
    dataset = config.check(config.Dataset, unit.settings["dataset"], f"datasets.{unit.name}")
    preparation.prepare(
        paths.raw(unit.name), paths.inbox(unit.name), paths.prepared(unit.name), dataset, unit.settings["seed"]
    )
