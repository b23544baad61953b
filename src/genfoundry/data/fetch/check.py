"""Whether a source of the user's own still is what was taken from it: the same, changed, or away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from genfoundry import files, paths
from genfoundry.config import Files, Folder
from genfoundry.data.fetch import local, web
from genfoundry.errors import UserError

if TYPE_CHECKING:
    from genfoundry.config import Dataset

PINNED = "pinned"  # the digest of a source whose files have checksums in params.yaml or in the catalog
ABSENT = "absent"  # that of a source that is not there and was never taken


@dataclass(frozen=True)
class Status:
    """One data set's source. `digest` is of the content to use: the source's, or DVC's copy where that is `away`."""

    name: str
    digest: str
    state: Literal["pinned", "same", "new", "changed", "away", "absent"]
    message: str = ""


def check_source(root: Path, name: str, dataset: Dataset, recorded: str | None) -> Status:
    """Compare a data set's source with `recorded`, the digest that the copy was taken with (None: no copy).

    Raises:
        UserError: the source cannot be read, and there is no copy.
    """
    if not isinstance(dataset.raw, Folder):
        return Status(name, PINNED, "pinned", _check_pinned(root, name, dataset))
    path, record, reason = root / Path(dataset.raw.path).expanduser(), local.Record(root, name), ""
    try:
        listed = local.list_files(path)
        digest = local.combine(record.digests(listed)) if listed else ""
        reason = "" if digest else f"{dataset.raw.path} is {'empty' if path.exists() else 'not there'}"
    except UserError as error:
        if recorded is None:
            raise
        digest, reason = "", str(error)
    before = recorded if recorded != ABSENT else None
    if before is None:
        return Status(name, digest, "new") if digest else Status(name, ABSENT, "absent")
    if digest == before:
        return Status(name, digest, "same")
    taken = f"of {record.taken['time']}" if record.taken.get("digest") == before else "that DVC has"
    copy = f"the copy {taken} (sha256 {before[:12]})"
    if not digest:
        return Status(name, before, "away", f"{name}: {reason}; {copy} is used")
    changes = f" ({record.changes})" if record.changes else ""
    return Status(name, digest, "changed", f"{name}: {dataset.raw.path} differs from {copy}{changes}; it is taken anew")


def _check_pinned(root: Path, name: str, dataset: Dataset) -> str:
    """Return a message if a local file has another content than the checksum in params.yaml, else ""."""
    if not isinstance(dataset.raw, Files):
        return ""
    for file in dataset.raw.files:
        for place in file.places:
            path = root / Path(place.removeprefix("file:").removeprefix("//")).expanduser()
            if not place.startswith("file:") or not path.is_file():
                continue
            digest = local.Record(root, f"{name}-{file.name}").digests(local.list_files(path))[path.name]
            if digest != file.sha256.lower():
                return (
                    f"{name}: {path} has changed: its sha256 is {digest}, params.yaml has {file.sha256}; the file with "
                    f"that checksum is used; write the new one under datasets.{name}.raw.files to take it anew"
                )
    return ""


def check_remote(name: str, dataset: Dataset, raw: Path, downloads: Path) -> Iterator[str]:
    """Ask the web servers of a data set's own files whether they still have what was fetched: a line a difference.

    What is used stays the content with the checksum in params.yaml. Sizes are compared, and where this machine fetched
    the file, times.
    """
    from email.utils import parsedate_to_datetime

    import requests

    for file in dataset.raw.files if isinstance(dataset.raw, Files) else ():
        copy = next((p for p in (downloads / file.sha256.lower(), raw / file.name) if p.is_file()), None)
        url = next((place for place in file.places if place.startswith(("https:", "http:"))), None)
        if copy is None or url is None:
            continue
        used = f"the copy with sha256 {file.sha256[:12]} is used"
        try:
            answer = requests.head(url, allow_redirects=True, **web.request_options())
            answer.raise_for_status()
        except (requests.RequestException, ValueError) as error:
            yield f"{name}: {url} could not be looked at ({web.explain(error)}); {used}"
            continue
        size, changed = answer.headers.get("Content-Length"), answer.headers.get("Last-Modified")
        newer = (
            changed and copy.parent == downloads and parsedate_to_datetime(changed).timestamp() > copy.stat().st_mtime
        )
        if newer or (size and int(size) != copy.stat().st_size):
            yield (
                f"{name}: {url} has changed ({size} bytes, of {changed}); {used}; write the new checksum under "
                f"datasets.{name}.raw.files to take it anew"
            )


def read_recorded(root: Path) -> dict[str, str]:
    """Read the digests of the data sets' sources as they were last taken; of paths of the user's own alone.

    The file is in git beside dvc.lock: where a source is away, as in another clone, it says what DVC's copy is of.
    """
    path = root / paths.SOURCES
    return dict(files.read_json(path)) if path.exists() else {}


def record(root: Path, name: str, digest: str) -> None:
    """Record the digest that a source was taken with. Safe against other writers."""
    with files.file_lock(root / paths.STATE / paths.SOURCES.name):
        recorded = read_recorded(root)
        if recorded.get(name) != digest:
            files.write_json(root / paths.SOURCES, {**recorded, name: digest})
