"""Jobs as processes, several at once: output line by line under each one's name, failures kept apart, a clean end."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from genfoundry import jobs
from genfoundry.jobs import Job

Ended = queue.SimpleQueue["Running | None"]  # None: the run was interrupted
PATIENCE = 30.0  # seconds that an interrupted job has to end by itself


@dataclass
class Outcome:
    """`failed` and `left` (what needed a failed one) are names of jobs; `spans` are (place, job, start, end) in s."""

    failed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    spans: list[tuple[int, str, float, float]] = field(default_factory=list)

    def busy(self, places: int) -> float:
        """Share of the places' time that jobs had."""
        return sum(end - start for *_, start, end in self.spans) / max(end for *_, end in self.spans) / places


def run(planned: Mapping[str, Job], places: Sequence[Mapping[str, str]], root: Path, env: Mapping[str, str]) -> Outcome:
    """Run every job whose needs are met, as many at once as there are places, until none is left.

    A place is what its job finds in the environment besides `env` (a GPU's number, say). A job that fails stops only
    what needs it. The first promotion's jobs go first in one of the places, elsewhere the longest way to the end does.

    Raises:
        KeyboardInterrupt: after every job was told to end, and did.
    """
    waiting, out = dict(planned), Outcome()
    far, first = jobs.ranked(planned), jobs.leading(planned)
    free, running = list(range(len(places))), dict[str, Running]()
    ended: Ended = queue.SimpleQueue()
    began = time.perf_counter()
    with _ending(running, ended):
        while waiting or running:
            while free and (job := _next(waiting, running, far, first)):
                del waiting[job.name]
                place = free.pop(0)
                start = time.perf_counter() - began
                running[job.name] = Running(job, place, start, root, {**env, **places[place]}, ended)
            if not running:
                break
            one = ended.get()
            if one is None:
                raise KeyboardInterrupt
            del running[one.job.name]
            free = sorted([*free, one.place])
            out.spans.append((one.place, one.job.name, one.start, time.perf_counter() - began))
            if one.status:
                out.failed.append(one.job.name)
                lost = jobs.behind(waiting, one.job.name)
                out.left += lost
                waiting = {name: job for name, job in waiting.items() if name not in lost}
    return out


def _next(
    waiting: Mapping[str, Job], running: Mapping[str, Running], far: Mapping[str, float], first: set[str]
) -> Job | None:
    """The job to start now, if there is one that can be."""
    there = waiting.keys() | running.keys()
    ready = [job for job in waiting.values() if not job.needs & there]
    if not first & running.keys():
        ready = [job for job in ready if job.name in first] or ready
    return max(ready, key=lambda job: far[job.name], default=None)


class Running:
    """A job's process, in a session of its own, so that it can be ended with all that it started."""

    def __init__(
        self,
        job: Job,
        place: int,
        start: float,
        root: Path,
        env: Mapping[str, str],
        ended: Ended,
    ) -> None:
        self.job, self.place, self.start, self.status = job, place, start, 0
        self._ended = ended
        self._process = subprocess.Popen(
            job.command,
            cwd=root,
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._thread = threading.Thread(target=self._follow, name=job.name, daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.strip():
                sys.stdout.write(f"{self.job.name:30} | {line.rstrip()}\n")  # one write a line: threads do not mix
                sys.stdout.flush()
        self.status = self._process.wait()
        self._ended.put(self)

    def end(self, how: signal.Signals) -> None:
        """Send a signal to the process and all that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, how)

    def wait(self, seconds: float) -> bool:
        """Whether it is over, after at most so long."""
        self._thread.join(seconds)
        return not self._thread.is_alive()


@contextmanager
def _ending(running: Mapping[str, Running], ended: Ended) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the jobs too: a training then stands at its last checkpoint."""

    def interrupt(number: int, frame: object) -> None:
        ended.put(None)  # raised where the run waits, never while a process is being started

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:  # nothing is running any more, unless the block was interrupted
        for one in running.values():
            one.end(signal.SIGINT)
        until = time.monotonic() + PATIENCE
        for one in running.values():
            if not one.wait(max(0.0, until - time.monotonic())):
                one.end(signal.SIGKILL)
                one.wait(PATIENCE)
        for number, handler in before.items():
            signal.signal(number, handler)
