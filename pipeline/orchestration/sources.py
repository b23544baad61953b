"""Checks of data sets' sources and inboxes that every run makes: what `fetch` depends on beside params.yaml."""

from __future__ import annotations

from pathlib import Path

from genfoundry import config
from genfoundry.data.fetch import check
from pipeline.orchestration import inbox


def check_all(root: Path, params: config.Params) -> list[check.Status]:
    """Return the status of every data set's source. A file is read only where its size or time changed.

    Raises:
        UserError: a source cannot be read and there is no copy, or an inbox lost files or holds withdrawn ones.
    """
    for name in params.datasets:  # here too: DVC may take what `prepare` makes of these files from its run cache
        inbox.check_complete(root, name)
    recorded = check.read_recorded(root)
    return [check.check_source(root, name, dataset, recorded.get(name)) for name, dataset in params.datasets.items()]


def list_paths(params: config.Params) -> list[str]:
    """List the user's local files and folders that data sets are taken from, as params.yaml spells them."""
    raws = [dataset.raw for dataset in params.datasets.values()]
    folders = [raw.path for raw in raws if isinstance(raw, config.Folder)]
    files = [file for raw in raws if isinstance(raw, config.Files) for file in raw.files]
    local = [place for file in files for place in file.places if place.startswith("file:")]
    return [*folders, *(place.removeprefix("file:").removeprefix("//") for place in local)]
