"""A digest of each source of the user's own: what `fetch` depends on, so that an edited file is noticed.

It runs every time, and refuses an inbox that lost files or holds withdrawn ones. A file is read only where its size or
time changed. A line says which copy is used where a source changed or is away, once a run.
"""

import os
import sys
from pathlib import Path

from genfoundry import checkpoint, config, experiment, graph, inbox, places
from genfoundry.data.fetch import check

HERE = Path()
SAID = "GENFOUNDRY_SOURCES"  # set where the run that this belongs to has said it


def run() -> None:
    params = experiment.settings()
    for name in params.datasets:  # here too: DVC may take what `prepare` makes of these files from its run cache
        inbox.check_complete(HERE, name)
    statuses = check_all(HERE, params)
    for status in statuses:
        if status.message and SAID not in os.environ:
            print(f"genfoundry sources: {status.message}", file=sys.stderr)
    checkpoint.write_json(places.SOURCES, {status.name: status.digest for status in statuses})


def check_all(root: Path, params: config.Params) -> list[check.Status]:
    """The status of every data set's source."""
    own = [name for name, dataset in params.datasets.items() if isinstance(dataset.raw, config.Folder)]
    lock = root / "dvc.lock"
    stages = graph.read(lock)["stages"] if own and lock.exists() else {}
    recorded = check.read_recorded(stages, params.datasets, places.SOURCES.as_posix())
    return [check.check_source(root, name, dataset, recorded.get(name)) for name, dataset in params.datasets.items()]
