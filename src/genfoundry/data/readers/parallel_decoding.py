"""Many picture files, decoded by several threads in order; of damaged ones the first, and how many there are."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from genfoundry.console.progress import track
from genfoundry.data import cgroup
from genfoundry.data.readers.images import Array, Form, picture
from genfoundry.errors import UserError

CHUNK, LARGE = 64, 1 << 18  # files, or bytes, that a thread decodes at a time


class Faults:
    """Files that cannot be read: the first one's line, and how many there are."""

    def __init__(self) -> None:
        self.first, self.count = "", 0

    def add(self, error: UserError) -> None:
        """Count a file."""
        self.first, self.count = self.first or str(error), self.count + 1

    def check(self, total: int) -> None:
        """Refuse them all in one line.

        Raises:
            UserError: there is one.
        """
        if self.count:
            raise UserError(self.first + (f"; {self.count} of {total} files are so" if self.count > 1 else ""))


def read(paths: list[Path], form: Form) -> Iterator[Array]:
    """(C, H, W) of each file, in order.

    Raises:
        UserError: files are damaged, or not of 8 bits: the first one, and how many, once all have been tried.
    """
    faults = Faults()
    for result in track(_decoded(paths, form), len(paths), "reading images"):
        if isinstance(result, UserError):
            faults.add(result)
        elif not faults.count:
            yield result
    faults.check(len(paths))


def _decoded(paths: list[Path], form: Form) -> Iterator[Array | UserError]:
    """Each file's values or fault, a few chunks of files ahead: what waits to be taken stays small."""
    threads = cgroup.cpus()
    with ThreadPoolExecutor(threads) as pool:  # decoding and resizing run outside Python's lock
        ahead: deque[Future[list[Array | UserError]]] = deque()
        for chunk in _chunks(paths):
            ahead.append(pool.submit(lambda some: [_attempt(path, form) for path in some], chunk))
            if len(ahead) > 2 * threads:
                yield from ahead.popleft().result()
        while ahead:
            yield from ahead.popleft().result()


def _chunks(paths: list[Path]) -> Iterator[list[Path]]:
    chunk, size = [], 0
    for path in paths:
        chunk.append(path)
        size += path.stat().st_size
        if len(chunk) == CHUNK or size > LARGE:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _attempt(path: Path, form: Form) -> Array | UserError:
    try:
        return picture(path, form)
    except UserError as error:
        return error
