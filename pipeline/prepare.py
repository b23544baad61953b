"""Raw files and the inbox become four splits as arrays, their spec and a description table."""

from genfoundry import experiment, places
from genfoundry.data import base


def run(name: str) -> None:
    params = experiment.settings()
    base.prepare(places.raw(name), places.inbox(name), places.prepared(name), params.datasets[name], params.seed)
