"""Which stages run side by side: nothing that could meet does, and nothing waits that need not."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest

from genfoundry import graph, jobs

ROOT = Path(__file__).parent.parent
STAGES = graph.stages(ROOT)
NEEDS = graph.needs(STAGES)
ALWAYS = {name for name, stage in STAGES.items() if stage.always}  # `make repro` runs those before the jobs, or after
WHOLE = jobs.planned(STAGES, set(STAGES), {"vae-fashion": 100.0, "dcgan-fashion": 50.0})


def chain(job: jobs.Job) -> list[str]:
    """The stages that a job runs."""
    return list(job.command[7:]) if job.command[:4] == jobs.DVC else []


def before(name: str) -> set[str]:
    """All that a job waits for, directly or not."""
    return {name}.union(*(before(need) for need in WHOLE[name].needs))


def test_every_stage_runs_once_and_after_what_it_needs() -> None:
    ran = [stage for job in WHOLE.values() for stage in chain(job)]
    assert sorted(ran) == sorted(name for name in STAGES if not STAGES[name].always)
    for name, job in WHOLE.items():
        earlier = {stage for need in before(name) - {name} for stage in chain(WHOLE[need])} | ALWAYS
        for at, stage in enumerate(chain(job)):
            assert NEEDS[stage] <= earlier | set(chain(job)[:at]), stage


def paths(job: jobs.Job, kind: str) -> list[Path]:
    return [Path(path) for stage in chain(job) for path in getattr(STAGES[stage], kind)]


def test_jobs_that_may_run_at_once_never_write_what_the_other_touches() -> None:
    """By the paths themselves, not by the graph that the jobs were made from."""
    pairs = [
        (one, other)
        for one, other in combinations(WHOLE, 2)
        if one not in before(other) and other not in before(one) and chain(WHOLE[one]) and chain(WHOLE[other])
    ]
    assert len(pairs) > 20
    for one, other in pairs + [(b, a) for a, b in pairs]:
        for out in paths(WHOLE[one], "outs"):
            for path in paths(WHOLE[other], "outs") + paths(WHOLE[other], "deps"):
                assert not (out == path or out in path.parents or path in out.parents), (one, other, path)


def test_a_chain_that_nothing_else_waits_for_is_one_process() -> None:
    assert chain(WHOLE["evaluate@vae-fashion"]) == ["tune@vae-fashion", "train@vae-fashion", "evaluate@vae-fashion"]
    assert chain(WHOLE["judge@fashion"]) == [f"{kind}@fashion" for kind in ("fetch", "prepare", "validate", "judge")]
    assert not before("evaluate@vae-fashion") & {"evaluate@dcgan-fashion", "judge@sunspots", "baseline@fashion-density"}


def test_the_first_ranking_is_followed_by_its_promotion() -> None:
    (job,) = (job for job in WHOLE.values() if job.decides)
    task = next(name for name in STAGES if name.startswith("register@")).partition("@")[2]
    assert job.name == f"promote@{task}"
    assert job.needs == {f"register@{task}"}
    assert job.command[-3:] == ("pipeline", "promote", task)


def test_the_longest_way_to_the_end_and_the_first_champion_go_first() -> None:
    far = jobs.ranked(WHOLE)
    assert far["evaluate@vae-fashion"] > far["evaluate@dcgan-fashion"] > far["evaluate@linear-sunspots"]
    assert far["judge@fashion"] >= far["evaluate@vae-fashion"] + WHOLE["judge@fashion"].seconds
    task = next(name for name in STAGES if name.startswith("register@")).partition("@")[2]
    assert jobs.leading(WHOLE) == before(f"promote@{task}")


def test_only_what_is_due_and_what_follows_runs() -> None:
    some = jobs.planned(STAGES, {"train@vae-fashion"}, {})
    ran = {stage for job in some.values() for stage in chain(job)}
    assert {"train@vae-fashion", "evaluate@vae-fashion", "register@fashion-density", "report"} <= ran
    assert not {name for name in ran if name.startswith(("tune", "judge", "baseline")) or "dcgan" in name}
    assert jobs.planned(STAGES, set(), {}) == {}
    assert jobs.planned(STAGES, {"promote", "turn"}, {}) == {}


def test_what_is_lost_with_a_job_is_what_waits_for_it() -> None:
    lost = jobs.behind(WHOLE, "evaluate@char-shakespeare")
    assert {"register@shakespeare-density", "report"} <= lost
    assert "register@fashion-density" not in lost


@pytest.mark.parametrize("name", ["turn", "promote"])
def test_what_always_runs_is_left_to_the_last(name: str) -> None:
    assert name not in WHOLE
