"""Members of tar and zip archives, read without unpacking anything to disk."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path


def members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of every regular file in a tar or zip archive."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as bag:
            yield from ((item.filename, bag.read(item)) for item in bag.infolist() if not item.is_dir())
        return
    with tarfile.open(path) as tar:
        for item in tar:
            content = tar.extractfile(item) if item.isfile() else None
            if content is not None:
                yield item.name, content.read()
