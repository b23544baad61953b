"""The scheduler runs jobs as processes, several at once: output line by line under their names, a clean end."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path

from genfoundry.console import messages, shell
from genfoundry.console.progress import Progress
from pipeline.orchestration import run_lock
from pipeline.orchestration.dag import Job

PATIENCE = 30.0  # seconds that an interrupted job has to end by itself
SHOW_EVERY = 30.0  # seconds between two lines of progress
TICK = 0.5  # seconds between two looks at whether the run was interrupted
REMEMBERED = 200  # last lines of a job, in which the reason of a failure is looked for
Span = tuple[int, str, float, float]  # slot, job, start and end in seconds


@dataclass
class Outcome:
    """`failed` jobs with their reasons; `left` needed one of them; `spans` are (slot, job, start, end) in seconds."""

    failed: dict[str, str] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)

    def busy(self, slots: int) -> float:
        """Return the share of the slots' time that jobs had."""
        return sum(end - start for *_, start, end in self.spans) / max(end for *_, end in self.spans) / slots


def run(jobs: Mapping[str, Job], slots: Sequence[Mapping[str, str]], root: Path, env: Mapping[str, str]) -> Outcome:
    """Run every job after those that it needs, as many at once as there are slots.

    A slot is what its job finds in the environment besides `env` (a GPU's number, say). A job that fails stops only
    what needs it.

    Raises:
        KeyboardInterrupt: after every job was told to end, and did.
    """
    order = TopologicalSorter({name: sorted(job.needs & jobs.keys()) for name, job in jobs.items()})
    order.prepare()
    out, ranks, began = Outcome(), rank_by_path(jobs), time.monotonic()
    ready, free, running = set[str](), list(range(len(slots))), dict[Future[str], tuple[str, int, float]]()
    progress, shown = Progress("genfoundry repro", len(jobs), "jobs", every=SHOW_EVERY), 0
    with progress, ThreadPoolExecutor(len(slots)) as pool, Processes(root, env).ending() as processes:
        while True:
            ready.update(order.get_ready())
            while ready and free:
                name, slot = choose(jobs, ready, [name for name, *_ in running.values()], ranks), free.pop(0)
                ready.remove(name)
                future = pool.submit(processes.run, jobs[name], slots[slot])
                running[future] = (name, slot, time.monotonic() - began)
            starts = {name: start for name, _, start in running.values()}
            left = estimate_seconds_left(jobs, ranks, len(slots), out.spans, starts, time.monotonic() - began)
            ended, note = len(out.spans), f"{len(running)} running"
            progress.show(ended, note, left if running else 0.0, at_once=ended > shown)
            shown = ended
            if not running:
                break
            done, _ = wait(running, TICK, FIRST_COMPLETED)
            processes.raise_if_interrupted()
            for future in done:
                name, slot, start = running.pop(future)
                free = sorted([*free, slot])
                out.spans.append((slot, name, start, time.monotonic() - began))
                if reason := future.result():
                    out.failed[name] = reason
                else:
                    order.done(name)
    out.left = [name for name in jobs if name not in {job for _, job, *_ in out.spans}]
    return out


def rank_by_path(jobs: Mapping[str, Job]) -> dict[str, float]:
    """Return the expected seconds from a job's start to the end of all that waits for it (its longest path)."""
    order = [*TopologicalSorter({name: sorted(job.needs & jobs.keys()) for name, job in jobs.items()}).static_order()]
    ranks = dict.fromkeys(jobs, 0.0)
    for name in reversed(order):
        ranks[name] += jobs[name].seconds
        for need in jobs[name].needs & jobs.keys():
            ranks[need] = max(ranks[need], ranks[name])
    return ranks


def estimate_seconds_left(
    jobs: Mapping[str, Job],
    ranks: Mapping[str, float],
    slots: int,
    spans: Sequence[Span],
    running: Mapping[str, float],
    now: float,
) -> float:
    """Estimate the seconds until all jobs are done.

    Args:
        jobs: all jobs, with the seconds that are expected of each.
        ranks: expected seconds of the longest path from a job's start on (`rank_by_path`).
        slots: jobs that run at once.
        spans: those that ended.
        running: starts of those that run.
        now: in seconds, as the starts are.
    """
    expected = sum(jobs[name].seconds for _, name, *_ in spans)
    # How much slower than expected this machine is, by the jobs that ended: the others are scaled alike.
    scale = sum(end - start for *_, start, end in spans) / expected if spans else 1.0
    ended = {name for _, name, *_ in spans}
    rest = {name: job.seconds * scale for name, job in jobs.items() if name not in ended}
    # A job that takes longer than expected counts as about to end: there is nothing better to go by.
    rest |= {name: max(0.0, rest[name] - (now - start)) for name, start in running.items()}
    paths = [scale * (ranks[name] - jobs[name].seconds) + left for name, left in rest.items()]
    # Two lower bounds: the work that is left, shared evenly among the slots, and the longest path of what must follow.
    return max([sum(rest.values()) / slots, *paths])


def choose(
    jobs: Mapping[str, Job], ready: Collection[str], running: Collection[str], ranks: Mapping[str, float]
) -> str:
    """Choose the job to start next: the longest path first, but one slot is for what the first champion waits for."""
    leading = [] if any(jobs[name].leads for name in running) else [name for name in ready if jobs[name].leads]
    # Sorted first: `max` takes the first of equals, so that ties start in the same order every time.
    return max(sorted(leading or ready), key=lambda name: ranks[name])


class Processes:
    """The processes of running jobs. Each has its own session, so that its child processes end with it."""

    def __init__(self, root: Path, env: Mapping[str, str]) -> None:
        self._root, self._env = root, {**os.environ, **env}
        self._lock, self._interrupted = threading.Lock(), threading.Event()
        self._running: dict[str, subprocess.Popen[str]] = {}

    def run(self, job: Job, slot: Mapping[str, str]) -> str:
        """Run a job to its end, its output line by line under its name; return why it failed, else ""."""
        with self._lock:
            if self._interrupted.is_set():
                return "interrupted"
            process = self._running[job.name] = subprocess.Popen(
                job.command,
                cwd=self._root,
                env={**self._env, **slot},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                # Ctrl-C of the terminal reaches this process alone, which then ends its jobs in order (`_end`).
                start_new_session=True,
                pass_fds=run_lock.inherited,
            )
        lines = deque[str](maxlen=REMEMBERED)
        assert process.stdout is not None
        for line in filter(None, map(str.rstrip, process.stdout)):
            lines.append(line)
            # A stage's own warnings and errors are shown even to a user who asked for quiet.
            if messages.level() <= logging.INFO or line.startswith("genfoundry "):
                sys.stdout.write(f"{job.name:30} | {line}\n")  # one write a line: threads do not mix
                sys.stdout.flush()
        status = process.wait()
        with self._lock:
            del self._running[job.name]
        return find_reason(lines) if status else ""

    def raise_if_interrupted(self) -> None:
        """Raise KeyboardInterrupt after Ctrl-C or SIGTERM."""
        if self._interrupted.is_set():
            raise KeyboardInterrupt

    @contextmanager
    def ending(self) -> Iterator[Processes]:
        """End all processes when the block ends: a training that is interrupted stands at its last checkpoint."""
        # Handlers only set a flag: raising in the middle of the scheduler could leave a process that nobody ends.
        before = {
            number: signal.signal(number, lambda *_: self._interrupted.set())
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield self
        finally:
            with self._lock:
                self._interrupted.set()
                rest = list(self._running.values())
            self._end(rest)
            for number, handler in before.items():
                signal.signal(number, handler)

    def _end(self, processes: list[subprocess.Popen[str]]) -> None:
        until = time.monotonic() + PATIENCE
        # First as Ctrl-C does it: Python unwinds, temporary folders go, and DVC gives its locks back.
        for how in (signal.SIGINT, signal.SIGKILL):
            for process in processes:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, how)  # the session's leader may be over, and what it started not
            for process in processes:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, until - time.monotonic()))
            processes = [process for process in processes if process.returncode is None]


def find_reason(lines: Collection[str]) -> str:
    """Return the line of a failed job that tells why: a stage's error or an exception, else DVC's or git's error."""
    numbered = list(enumerate(lines))
    message = max(((number, line) for number, line in numbered if line.startswith("genfoundry ")), default=(-1, ""))
    traceback = max((number for number, line in numbered if line.startswith("Traceback ")), default=-1)
    after = [line for number, line in numbered if number > traceback >= 0 and line[0] not in " >"]
    if after and traceback > message[0]:  # a warning may come before it
        return after[0]
    return message[1] or shell.find_reason("\n".join(lines))
