"""Progress of long work on standard error: a bar at a terminal, elsewhere a line now and then with the time left."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from genfoundry.console.messages import level

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

T = TypeVar("T")
FIRST = 1.0  # seconds before progress is worth showing
EVERY = 5.0  # seconds between two lines


class Progress:
    """Shows how much of `total` is done. Also a progress bar as pooch wants it (`total`, `update`, `reset`, `close`).

    Args:
        what: the name of the work.
        total: the number of steps, items or bytes; 0 where that is not known.
        unit: what is counted; "MB" shows bytes as megabytes.
        every: seconds between two lines where standard error is no terminal.
    """

    def __init__(self, what: str, total: float = 0, unit: str = "", every: float = EVERY) -> None:
        self.what, self.total, self.unit, self.every = what, total, unit, every
        self.done, self._first = 0.0, 0.0
        self._began = time.monotonic()
        self._due = self._began + min(FIRST, every)  # work that ends sooner shows nothing
        self._bar: Bar | None = None

    def update(self, amount: float = 1, note: str = "") -> None:
        """Count `amount` more as done, and show it if that is due."""
        self.show(self.done + amount, note)

    def reset(self) -> None:
        """Count from nothing again."""
        self.done = 0.0

    def resume(self, done: float) -> None:
        """Count from `done`, which another process did: the pace is that of the rest."""
        self.done = self._first = done
        self._began = time.monotonic()

    def show(self, done: float, note: str = "", seconds_left: float | None = None, at_once: bool = False) -> None:
        """Show that `done` is done, if that is due; the time left follows from the pace where it is not given."""
        self.done, now = done, time.monotonic()
        if (now < self._due and not at_once) or level() > logging.INFO:
            return
        terminal = sys.stderr.isatty()
        # A log file keeps every line, whereas a terminal redraws the bar.
        self._due = now + (0.1 if terminal else self.every)
        if seconds_left is None and self.total and done > self._first:
            seconds_left = max(0.0, self.total - done) * (now - self._began) / (done - self._first)
        left = f"{duration(seconds_left)} left" if seconds_left is not None else ""
        if terminal:
            self._draw(note, left)
        else:
            print(", ".join(filter(None, (f"{self.what}: {self._count()}", note, left))), file=sys.stderr, flush=True)

    def _count(self) -> str:
        done, total = (f"{n / 1e6:.1f}" if self.unit == "MB" else f"{n:.0f}" for n in (self.done, self.total))
        return f"{done}/{total} {self.unit}".rstrip() if self.total else f"{done} {self.unit}".rstrip()

    def _draw(self, note: str, left: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bar

        if self._bar is None:
            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}"))
            # transient: no bar is left behind; redirect_stdout: lines that are printed meanwhile appear above it.
            self._bar = Bar(*columns, console=Console(stderr=True), transient=True, redirect_stdout=sys.stdout.isatty())
            self._bar.add_task(self.what, text="")
            self._bar.start()
        text = ", ".join(filter(None, (self._count(), note, left)))
        self._bar.update(self._bar.task_ids[0], completed=self.done, total=self.total or None, text=text)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def track(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """Yield `items`, of which there are `total`, and show the progress."""
    with Progress(what, total) as progress:
        for item in items:
            yield item
            progress.update()


def duration(seconds: float) -> str:
    """Seconds in the largest unit that says enough: 40 s, 14 min, 2 h 5 min."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
