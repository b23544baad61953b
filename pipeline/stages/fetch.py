"""Raw bytes of a data set, checked against their checksums; of a path of the user's own, a copy."""

from collections.abc import Sequence
from pathlib import Path

from genfoundry import checkpoint, dvc_store, experiment, places
from genfoundry.data import sources
from genfoundry.data.fetch import check, local

HERE = Path()


def run(name: str) -> None:
    dataset = experiment.settings().datasets[name]
    digests = checkpoint.read_json(places.SOURCES) if places.SOURCES.exists() else {}
    expected = None if (digest := digests.get(name)) in (check.PINNED, check.ABSENT) else digest
    copied = sources.fetch(dataset, places.raw(name), expected=expected, recoverable=in_cache)
    if copied is not None:
        local.Record(HERE, name).note_taken(copied)


def in_cache(paths: Sequence[Path]) -> set[Path]:
    """Those files whose content DVC's cache has."""
    digests = {path: dvc_store.hash_md5(path) for path in paths}
    stored = dvc_store.in_cache(HERE, digests.values()) if digests else set()
    return {path for path, md5 in digests.items() if md5 in stored}
