"""Progress of long work: lines where nobody looks on, a bar at a terminal, nothing with --quiet."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from genfoundry.console import messages, progress
from genfoundry.console.progress import Progress, duration, track

ROOT = Path(__file__).resolve().parents[2]


def test_short_work_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track(range(3), 3, "reading")) == [0, 1, 2]
    assert capsys.readouterr().err == ""


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "FIRST", -1.0)


def test_a_line_says_how_much_is_done_and_the_time_left(at_once: None, capsys: pytest.CaptureFixture[str]) -> None:
    work = Progress("reading", 3, every=-1.0)
    for _ in range(3):
        work.update()
    assert capsys.readouterr().err.splitlines()[-1] == "reading: 3/3, 0 s left"
    work.show(2, "a note", seconds_left=90)
    assert capsys.readouterr().err == "reading: 2/3, a note, 2 min left\n"


def test_bytes_are_shown_as_megabytes(at_once: None, capsys: pytest.CaptureFixture[str]) -> None:
    Progress("fetch a", 5_000_000, "MB").show(2_500_000, seconds_left=3)
    Progress("fetch b", 0, "MB").show(2_500_000)
    assert capsys.readouterr().err == "fetch a: 2.5/5.0 MB, 3 s left\nfetch b: 2.5 MB\n"


def test_quiet_shows_nothing(
    at_once: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(messages.LEVEL, "WARNING")
    Progress("reading", 3).show(1)
    assert capsys.readouterr().err == ""


def test_work_that_is_resumed_has_the_pace_of_its_rest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    work = Progress("training", 100)
    work.resume(80)
    now[0] = 10.0
    work.show(90)
    assert capsys.readouterr().err == "training: 90/100, 10 s left\n"


def test_a_bar_is_drawn_at_a_terminal() -> None:
    """It goes to standard error alone and is removed at the end."""
    code = (
        "from genfoundry.console import progress\nprogress.FIRST = -1.0\n"
        "for item in progress.track(range(3), 3, 'reading'):\n    print('item', item)\n"
    )
    ours, theirs = os.openpty()
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "TERM": "xterm", "COLUMNS": "80"}
    done = subprocess.run([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, stderr=theirs, text=True)
    os.close(theirs)
    drawn = os.read(ours, 100_000).decode()
    os.close(ours)
    assert done.stdout.splitlines() == ["item 0", "item 1", "item 2"]
    assert "reading" in drawn and "━" in drawn and "s left" in drawn


def test_a_duration_is_in_its_largest_unit() -> None:
    shown = {0: "0 s", 59: "59 s", 61: "1 min", 840: "14 min", 3600: "1 h 0 min", 7500: "2 h 5 min"}
    assert {seconds: duration(seconds) for seconds in shown} == shown
