"""The time left of a run, from what was expected of its jobs and what those that ended took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.orchestration.dag import Job

Span = tuple[int, str, float, float]  # slot, job, start and end in seconds


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
        ranks: expected seconds of the longest path from a job's start on (`scheduler.rank_by_path`).
        slots: jobs that run at once.
        spans: those that ended.
        running: starts of those that run.
        now: in seconds, as the starts are.
    """
    expected = sum(jobs[name].seconds for _, name, *_ in spans)
    scale = sum(end - start for *_, start, end in spans) / expected if spans else 1.0
    ended = {name for _, name, *_ in spans}
    rest = {name: job.seconds * scale for name, job in jobs.items() if name not in ended}
    rest |= {name: max(0.0, rest[name] - (now - start)) for name, start in running.items()}
    paths = [scale * (ranks[name] - jobs[name].seconds) + left for name, left in rest.items()]
    return max([sum(rest.values()) / slots, *paths])
