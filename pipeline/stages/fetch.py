"""Fetch: download the raw files of a data set and verify their checksums, or copy a local path."""

from collections.abc import Sequence
from pathlib import Path

from genfoundry import config
from genfoundry import paths as paths_module
from genfoundry.data.fetch import catalog, check, local
from genfoundry.selection import dvc_store
from pipeline.orchestration.unit import Unit

HERE = Path()


def run(unit: Unit) -> None:
    """Fill the raw folder of a data set; of a local path, record the digest of what was copied."""
    name, expected = unit.name, unit.settings["source"]
    entry = {key: unit.settings[key] for key in ("modality", "raw")}
    dataset = config.check(config.Dataset, entry, f"datasets.{name}")
    # Checksums pin the content; a source without any must still be as the plan found it.
    pinned = expected in (check.PINNED, check.ABSENT)
    copied = catalog.fetch(
        dataset, paths_module.raw(name), expected=None if pinned else expected, recoverable=find_in_cache
    )
    if copied is not None:
        local.Record(HERE, name).note_taken(copied)
        check.record(HERE, name, copied)


def find_in_cache(paths: Sequence[Path]) -> set[Path]:
    """Return those files whose content DVC's cache has."""
    digests = {path: dvc_store.hash_md5(path) for path in paths}
    # A raw file that the source lacks is replaced only where DVC has it: somebody may have put it there.
    stored = dvc_store.find_cached(HERE, digests.values()) if digests else set()
    return {path for path, md5 in digests.items() if md5 in stored}
