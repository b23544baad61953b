"""Raw bytes of a data set, checked against their checksums."""

from genfoundry import experiment, places
from genfoundry.data import sources


def run(name: str) -> None:
    sources.fetch(experiment.settings().datasets[name], places.raw(name))
