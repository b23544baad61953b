"""Progress of a long reading, on standard error: nothing for the first second, then a line a second."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TextIO, TypeVar

T = TypeVar("T")
INTERVAL = 1.0  # seconds


def report_progress(items: Iterable[T], total: int, what: str, out: TextIO | None = None) -> Iterator[T]:
    """Yield `items`, with a line "what: 120 of 4000, 9 s left" a second."""
    began = shown = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        if (now := time.monotonic()) - shown > INTERVAL:
            left = (total - done) * (now - began) / done
            print(f"{what}: {done} of {total}, {left:.0f} s left", file=out or sys.stderr, flush=True)
            shown = now
