"""Raw files and the inbox become four splits as arrays, their spec and a description table."""

from genfoundry import config, places
from genfoundry.data import preparation
from genfoundry.unit import Unit


def run(unit: Unit) -> None:
    dataset = config.check(config.Dataset, unit.settings["dataset"], f"datasets.{unit.name}")
    preparation.prepare(
        places.raw(unit.name), places.inbox(unit.name), places.prepared(unit.name), dataset, unit.settings["seed"]
    )
