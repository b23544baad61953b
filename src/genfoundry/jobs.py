"""What can run side by side: dvc.yaml's stages as jobs, a job being the stages that one `dvc repro` runs in a row."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from genfoundry import graph

SECONDS = 1.0  # a stage that nothing is known of
DVC = (sys.executable, "-m", "pipeline", "dvc")


@dataclass(frozen=True)
class Job:
    """`needs` are names of jobs; `seconds` is what it is expected to take; the first promotion `decides`."""

    name: str
    command: tuple[str, ...]
    needs: frozenset[str] = frozenset()
    seconds: float = SECONDS
    decides: bool = False


def planned(stages: Mapping[str, graph.Stage], due: Collection[str], seconds: Mapping[str, float]) -> dict[str, Job]:
    """The jobs that bring the stages `due` and all that depends on them up to date; what always runs is never due.

    `seconds` are expected for a key (`vae-fashion`), whichever of its stages run. The first ranking is followed by its
    promotion, so that a champion stands early; the others are decided together at the end, by one process.
    """
    needs = {name: need for name, need in graph.needs(stages).items() if not stages[name].always}
    order = _ordered(needs)
    wanted = set(due) & needs.keys()
    for name in order:
        if needs[name] & wanted:
            wanted.add(name)
    chains = _chains([name for name in order if name in wanted], needs)
    home = {name: chain[-1] for chain in chains for name in chain}
    jobs: dict[str, Job] = {}
    for chain in chains:
        before = {home[need] for name in chain for need in needs[name] if need in home} - {chain[-1]}
        keys = {name.partition("@")[2] for name in chain}
        expected = SECONDS * len(chain) + sum(seconds.get(key, 0.0) for key in keys)
        command = (*DVC, "--wait-for-lock", "repro", "--single-item", *chain)
        jobs[chain[-1]] = Job(chain[-1], command, frozenset(before), expected)
        kind, _, task = chain[-1].partition("@")
        if kind == "register" and not any(job.decides for job in jobs.values()):
            decide = (sys.executable, "-m", "pipeline", "promote", task)
            jobs[f"promote@{task}"] = Job(f"promote@{task}", decide, frozenset({chain[-1]}), decides=True)
    return jobs


def _chains(order: list[str], needs: Mapping[str, set[str]]) -> list[list[str]]:
    """Stages in a row that nothing else waits for in between; `order` has every stage after what it needs."""
    behind: dict[str, set[str]] = {}  # all that a stage needs, directly or not
    nearest: dict[str, set[str]] = {}  # the same, less what it needs through another
    for name in order:
        direct = needs[name] & behind.keys()
        through = set().union(*(behind[need] for need in direct))
        behind[name], nearest[name] = direct | through, direct - through
    followers = {name: [other for other in order if name in nearest[other]] for name in order}
    chains: dict[str, list[str]] = {}  # by the last stage
    for name in order:
        before = next(iter(nearest[name])) if len(nearest[name]) == 1 else ""
        alone = before and len(followers[before]) == 1 and before in chains
        chains[name] = [*chains.pop(before), name] if alone else [name]
    return list(chains.values())


def ranked(jobs: Mapping[str, Job]) -> dict[str, float]:
    """Job -> the expected seconds from its start to the end of all that waits for it: the longest goes first."""
    left = dict.fromkeys(jobs, 0.0)
    for name in reversed(_ordered({name: job.needs for name, job in jobs.items()})):
        left[name] += jobs[name].seconds
        for need in jobs[name].needs & jobs.keys():
            left[need] = max(left[need], left[name])
    return left


def leading(jobs: Mapping[str, Job]) -> set[str]:
    """The first promotion in dvc.yaml's order and all that it needs: they get a place of their own."""
    first = next((name for name, job in jobs.items() if job.decides), None)
    found: set[str] = set()
    todo = {first} if first else set()
    while todo:
        name = todo.pop()
        found.add(name)
        todo |= (jobs[name].needs & jobs.keys()) - found
    return found


def behind(jobs: Mapping[str, Job], lost: str) -> set[str]:
    """The jobs that need `lost`, directly or not."""
    found = {lost}
    for name in _ordered({name: job.needs for name, job in jobs.items()}):
        if jobs[name].needs & found:
            found.add(name)
    return found - {lost}


def _ordered(needs: Mapping[str, Collection[str]]) -> list[str]:
    """Every name after what it needs of them, otherwise as they came: dvc.yaml's order, as DVC itself visits it."""
    found: dict[str, None] = {}

    def visit(name: str) -> None:
        for need in needs:
            if need in needs[name] and need not in found:
                visit(need)
        found[name] = None

    for name in needs:
        if name not in found:
            visit(name)
    return list(found)
