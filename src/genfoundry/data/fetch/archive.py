"""Members of tar and zip archives, read without unpacking anything to disk."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path


def read_members(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of every regular file in a tar or zip archive whose name is `wanted`."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for item in archive.infolist():
                if not item.is_dir() and wanted(item.filename):
                    yield item.filename, archive.read(item)
        return
    with tarfile.open(path) as tar:
        for member in tar:
            content = tar.extractfile(member) if member.isfile() and wanted(member.name) else None
            if content is not None:
                yield member.name, content.read()
