"""How far a run is: jobs that are done, jobs that are running, and the time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.orchestration.dag import Job

SHOW_EVERY = 30.0  # seconds
Spans = list[tuple[int, str, float, float]]


class Progress:
    """A line on standard error whenever a job ends, and every half a minute; `ranks` are seconds of longest paths."""

    def __init__(self, jobs: Mapping[str, Job], ranks: Mapping[str, float], slots: int) -> None:
        self._jobs, self._ranks, self._slots = jobs, ranks, slots
        self._shown, self._ended = time.monotonic(), 0

    def show(self, spans: Spans, running: Mapping[str, float], now: float) -> None:
        """Print the line if one is due; `running` are starts of jobs, in seconds like `now`."""
        if len(spans) == self._ended and time.monotonic() - self._shown < SHOW_EVERY:
            return
        self._shown, self._ended = time.monotonic(), len(spans)
        left = f", about {duration(self.seconds_left(spans, running, now))} left" if running else ""
        print(
            f"genfoundry repro: {len(spans)}/{len(self._jobs)} jobs, {len(running)} running{left}",
            file=sys.stderr,
            flush=True,
        )

    def seconds_left(self, spans: Spans, running: Mapping[str, float], now: float) -> float:
        """From what is expected of the jobs, scaled by what those that ended took."""
        took = sum(end - start for *_, start, end in spans)
        expected = sum(self._jobs[name].seconds for _, name, *_ in spans)
        scale = took / expected if spans else 1.0
        ended = {name for _, name, *_ in spans}
        rest = {name: job.seconds * scale for name, job in self._jobs.items() if name not in ended}
        rest |= {name: max(0.0, rest[name] - (now - start)) for name, start in running.items()}
        paths = [scale * (self._ranks[name] - self._jobs[name].seconds) + left for name, left in rest.items()]
        return max([sum(rest.values()) / self._slots, *paths])


def duration(seconds: float) -> str:
    """In the largest unit that says enough: 40 s, 14 min, 2 h 5 min."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
