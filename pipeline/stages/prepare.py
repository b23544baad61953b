"""Raw files and the inbox become four splits as arrays, their spec and a description table."""

from genfoundry import experiment, inbox, places
from genfoundry.data import base

HERE = places.Path()


def run(name: str) -> None:
    params = experiment.settings()
    inbox.check_complete(HERE, name)
    base.prepare(places.raw(name), places.inbox(name), places.prepared(name), params.datasets[name], params.seed)
