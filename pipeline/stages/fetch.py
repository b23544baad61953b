"""Raw bytes of a data set, checked against their checksums; of a path of the user's own, a copy."""

from pathlib import Path

from genfoundry import checkpoint, experiment, places, weights
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


def in_cache(path: Path) -> bool:
    """Whether DVC's cache has a file's content."""
    return weights.cached(HERE, weights.hash_md5(path)).is_file()
