"""`make repro`: what is asked for, what of the plan that needs, and what is said at the end."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from genfoundry import config
from genfoundry.errors import UserError
from pipeline.commands import repro
from pipeline.commands.repro import Options
from pipeline.orchestration.scheduler import Outcome
from pipeline.stages import register

sys.path.append(str(Path(__file__).parent / "orchestration"))
import plans


def test_where_an_engine_does_the_work_it_says_how_many_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    run = config.Run(seed=1, threads=1, device="cpu")
    assert repro.allocate_slots(run, None, 7) == [{}] * 7
    assert repro.allocate_slots(run, 3, 7) == [{}] * 3
    assert repro.allocate_slots(run, 2, None) == [{}] * 2


def test_all_units_and_the_decision_of_the_first_task() -> None:
    selected = repro.select_units(plans.make(), Options())
    assert list(selected) == [*plans.make(), "register@series-forecast"]


def test_what_one_task_needs() -> None:
    """All that is measured on its data, its own trivial models, and its decision; not the ranking of all tasks."""
    selected = repro.select_units(plans.make(), Options(task="photos-samples"))
    assert {key for key in selected if key.startswith(("baseline", "evaluate", "r"))} == {
        "baseline@photos-samples",
        "evaluate@vae-photos",
        "evaluate@made-photos",
        "evaluate@dcgan-photos",
        "register@photos-samples",
    }
    assert not {key for key in selected if "series" in key}


def test_what_one_experiment_needs() -> None:
    selected = repro.select_units(plans.make(), Options(experiment="vae-photos"))
    assert list(selected) == [
        "fetch@photos",
        "prepare@photos",
        "validate@photos",
        "judge@photos",
        "train@vae-photos",
        "evaluate@vae-photos",
    ]


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(UserError, match=r"experiments: expected the name of one, got 'vae-photo'; .*vae-photos"):
        repro.select_units(plans.make(), Options(experiment="vae-photo"))
    with pytest.raises(UserError, match=r"tasks: expected the name of one, got 'photos'"):
        repro.select_units(plans.make(), Options(task="photos"))


def test_a_name_that_is_none_is_refused_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(repro, "check", lambda: config.Run(seed=1, threads=1))
    monkeypatch.setattr(repro, "read_all", lambda root: plans.make())
    with pytest.raises(UserError, match=r"tasks: expected the name of one, got 'photos'"):
        repro.run(task="photos", engine="none")


def test_every_failure_is_repeated_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    repro.report_failures(Outcome({"experiment@a": "too few items", "data@b": "no such file"}, ["results", "judge@b"]))
    assert caplog.messages == [
        "experiment@a failed: too few items",
        "data@b failed: no such file",
        "for want of it, not run: judge@b, results",
    ]


def test_it_says_where_the_time_went(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two jobs at once for 10 s: 20 s of theirs, of which stages worked 12 and started up for 3."""
    monkeypatch.setattr(repro, "TIMES", tmp_path / "times.jsonl")
    row = '{"stage": "train@x", "startup": 1.5, "work": 6.0, "end": 0}\n'
    (tmp_path / "times.jsonl").write_text(2 * row)
    repro.print_times(1.0, 10.0, 2.0, 2)
    assert capsys.readouterr().out.splitlines()[-1] == (
        "13 s in all, 2 jobs at once, 23 s of theirs: work 12 s; start-up 11 s = 48% "
        "(imports 3, DVC and waiting 5, MLflow 2, check 1)"
    )
    repro.print_times(1.0, 20.0, 2.0, 1)
    assert "23 s in all: work 12 s; start-up 11 s = 48% (imports 3, DVC 5," in capsys.readouterr().out


def test_a_decision_on_a_task_that_is_none_is_refused() -> None:
    with pytest.raises(UserError, match=r"^'photos' is no task; expected one of photos-density, photos-samples, "):
        register.run(plans.make()["register"], "photos")
