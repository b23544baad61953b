"""How far a long reading is, on standard error: nothing for the first second, then a line a second."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TextIO, TypeVar

T = TypeVar("T")
QUIET = 1.0  # seconds before progress is worth a line


def told(items: Iterable[T], total: int, what: str, out: TextIO | None = None) -> Iterator[T]:
    """`items`, with "what: 120 of 4000, 9 s left" now and then."""
    began = shown = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        if (now := time.monotonic()) - shown > QUIET:
            left = (total - done) * (now - began) / done
            print(f"{what}: {done} of {total}, {left:.0f} s left", file=out or sys.stderr, flush=True)
            shown = now
