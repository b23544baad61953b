"""Which jobs run side by side: nothing that could meet does, and nothing waits that need not."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import plans
import pytest
import toy

from genfoundry.errors import UserError
from pipeline.orchestration import dag, scheduler

FIRST = dag.find_decision(plans.make())
assert FIRST is not None
UNITS = {**plans.make(), FIRST.key: FIRST}
JOBS = dag.make_jobs(UNITS, UNITS, {"train@vae-photos": 100.0, "train@made-photos": 50.0, "train@linear-series": 20.0})


def row(job: dag.Job) -> list[str]:
    """What `dvc repro` is called with, or the unit that is run without it."""
    return list(job.command[len(dag.REPRO) :]) if job.command[: len(dag.REPRO)] == dag.REPRO else list(job.units)


def before(name: str) -> set[str]:
    """A job and all that it waits for, directly or not."""
    return {name}.union(*(before(need) for need in JOBS[name].needs))


def test_every_unit_runs_once_and_after_what_it_needs() -> None:
    ran = [key for job in JOBS.values() for key in row(job)]
    assert sorted(ran) == sorted(UNITS)
    needs = dag.find_needs(UNITS)
    for name, job in JOBS.items():
        earlier = {key for need in before(name) - {name} for key in row(JOBS[need])}
        for at, key in enumerate(row(job)):
            assert needs[key] <= earlier | set(row(job)[:at]), key


def paths(job: dag.Job, kind: str) -> list[Path]:
    return [Path(path) for key in row(job) for path in getattr(UNITS[key], kind)]


def test_jobs_that_may_run_at_once_never_write_what_the_other_touches() -> None:
    """By the paths themselves: equal, or one within the other."""
    pairs = [(a, b) for a, b in combinations(JOBS, 2) if a not in before(b) and b not in before(a)]
    assert len(pairs) > 20
    for one, other in pairs + [(b, a) for a, b in pairs]:
        for out in paths(JOBS[one], "outputs"):
            for path in paths(JOBS[other], "outputs") + paths(JOBS[other], "inputs"):
                assert not (out == path or out in path.parents or path in out.parents), (one, other, path)


def test_a_job_is_a_row_of_units_in_one_process() -> None:
    rows = {name: row(job) for name, job in JOBS.items()}
    assert rows["data@photos"] == ["fetch@photos", "prepare@photos", "validate@photos"]
    assert rows["judge@photos"] == ["judge@photos"]
    assert rows["experiment@vae-photos"] == ["train@vae-photos", "evaluate@vae-photos"]
    assert rows["results"] == ["rank", "register", "report"]
    assert JOBS["experiment@vae-photos"].needs == {"data@photos", "judge@photos"}
    assert not before("experiment@vae-photos") & {"experiment@made-photos", "data@series", "baseline@photos-density"}


def test_the_first_task_is_decided_as_soon_as_it_is_measured() -> None:
    job = JOBS["register@series-forecast"]
    assert job.command[1:] == ("-m", "pipeline", "register", "build/plan/register.json", "series-forecast")
    assert job.needs == {"baseline@series-forecast", "experiment@linear-series", "experiment@bayes-series"}
    assert {name for name, job in JOBS.items() if job.leads} == before("register@series-forecast")
    assert job.name in JOBS["results"].needs, "one process at a time writes the ledger"


def test_a_task_of_ones_own_choice_is_decided() -> None:
    chosen = dag.find_decision(plans.make(), "photos-samples")
    assert chosen is not None
    assert chosen.inputs == ("reports/scores/photos", "reports/baselines/photos-samples")
    with pytest.raises(UserError, match=r"tasks: expected the name of one, got 'photos-sample'; .*photos-samples"):
        dag.find_decision(plans.make(), "photos-sample")
    assert dag.find_decision({}) is None


def test_what_is_measured_is_decided_though_a_job_failed() -> None:
    """Of two tasks on one data set neither, since one failed; nothing of a task that nothing was measured of."""
    assert dag.find_measured(UNITS, JOBS, {"experiment@made-photos", "results"}) == ["series-forecast"]
    assert dag.find_measured(UNITS, JOBS, {"baseline@photos-samples", "results"}) == [
        "series-forecast",
        "photos-density",
    ]
    some = dag.make_jobs(UNITS, {"baseline@photos-samples", "evaluate@linear-series"}, {})
    assert dag.find_measured(UNITS, some, {"experiment@linear-series", "results"}) == ["photos-samples"]


def test_the_longest_path_goes_first() -> None:
    ranks = scheduler.rank_by_path(JOBS)
    assert ranks["experiment@vae-photos"] > ranks["experiment@made-photos"] > ranks["experiment@dcgan-photos"]
    assert ranks["data@photos"] >= ranks["experiment@vae-photos"] + JOBS["data@photos"].seconds
    assert scheduler.choose(JOBS, ["data@photos", "data@series"], [], ranks) == "data@series", "it leads"
    assert scheduler.choose(JOBS, ["data@photos", "experiment@bayes-series"], ["data@series"], ranks) == "data@photos"


def test_only_what_is_due_and_what_depends_on_it_runs() -> None:
    some = dag.make_jobs(UNITS, {"train@vae-photos"}, {})
    assert {key for job in some.values() for key in row(job)} == {
        "train@vae-photos",
        "evaluate@vae-photos",
        "rank",
        "register",
        "report",
    }
    assert some["results"].needs == {"experiment@vae-photos"}
    assert dag.make_jobs(UNITS, set(), {}) == {}
    (only,) = dag.make_jobs(UNITS, {"register"}, {}).values()
    assert row(only) == ["register"]


def test_what_one_target_needs() -> None:
    needs = dag.find_needs(UNITS)
    assert dag.select(needs, ["evaluate@linear-series"]) == {
        "evaluate@linear-series",
        "train@linear-series",
        "validate@series",
        "prepare@series",
        "fetch@series",
    }


def test_an_inbox_that_grew_is_taken_in_by_the_process_that_reads_it() -> None:
    """DVC itself names its .dvc file, also where the data set was prepared from it already."""
    some = dag.make_jobs(UNITS, {"data/inbox/photos.dvc"}, {})
    assert row(some["data@photos"]) == ["data/inbox/photos.dvc", "prepare@photos", "validate@photos"]
    assert "data@series" not in some


def test_what_dvc_says_is_due(tmp_path: Path) -> None:
    """`dvc status --json`: stages that never ran, that changed, whose outs are gone; not what only always runs."""
    root = toy.make(tmp_path, {"a": [], "b": ["a"], "c": ["b"], "d": []}, always=["d"])
    (root / "inbox").mkdir()
    toy.dvc(root, "add", "-q", "inbox")
    assert dag.find_due(root) == {"a", "b", "c", "d"}
    toy.dvc(root, "repro", "-q")
    assert dag.find_due(root) == set()
    (root / "out/b").unlink()
    (root / "inbox/new").touch()
    assert dag.find_due(root) == {"b", "c", "inbox.dvc"}
    toy.dvc(root, "repro", "-q", "--single-item", "inbox.dvc", "b")
    assert dag.find_due(root) == set()
    declared = (root / "dvc.yaml").read_text()
    (root / "dvc.yaml").write_text(declared.replace("cmd: python act.py d", "cmd: python act.py d d"))
    assert dag.find_due(root) == {"d"}
    done = subprocess.run([*dag.DVC, "status", "--json"], cwd=root, env=toy.ENV, capture_output=True, text=True)
    assert {name: sorted(changes) for name, changes in json.loads(done.stdout).items()} == {
        "d": ["always changed", "changed command"]
    }


def test_dvc_is_the_one_of_this_interpreter() -> None:
    assert (sys.executable, "-m", "dvc") == dag.DVC
