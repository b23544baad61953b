"""Raw bytes of a data set, checked against their checksums; of a path of the user's own, a copy."""

from pathlib import Path

from genfoundry import config, places, weights
from genfoundry.data.fetch import catalog, check, local
from genfoundry.unit import Unit

HERE = Path()


def run(unit: Unit) -> None:
    name, expected = unit.name, unit.settings["source"]
    entry = {key: unit.settings[key] for key in ("modality", "raw")}
    dataset = config.check(config.Dataset, entry, f"datasets.{name}")
    pinned = expected in (check.PINNED, check.ABSENT)
    copied = catalog.fetch(dataset, places.raw(name), expected=None if pinned else expected, recoverable=in_cache)
    if copied is not None:
        local.Record(HERE, name).note_taken(copied)
        check.record(HERE, name, copied)


def in_cache(path: Path) -> bool:
    """Whether DVC's cache has a file's content."""
    return weights.cached(HERE, weights.hash_md5(path)).is_file()
