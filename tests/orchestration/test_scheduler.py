"""Jobs side by side, as real processes: at once, each to itself, one's failure not another's, and a clean end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import toy
import yaml

from pipeline.orchestration import dag, scheduler
from pipeline.orchestration.dag import Job
from pipeline.orchestration.progress import estimate_seconds_left

ROOT = Path(__file__).parent.parent.parent
MEET = """
import sys, time
from pathlib import Path
mine, other = sys.argv[1:]
Path(mine).touch()
until = time.monotonic() + 60
while not Path(other).exists():
    assert time.monotonic() < until, "the other was never there"
    time.sleep(0.01)
"""


def job(name: str, source: str, *arguments: str, needs: tuple[str, ...] = (), **more: object) -> Job:
    return Job(name, (sys.executable, "-c", source, *arguments), frozenset(needs), **more)  # type: ignore[arg-type]


def all_of(*some: Job) -> dict[str, Job]:
    return {one.name: one for one in some}


def test_jobs_really_run_at_once(tmp_path: Path) -> None:
    """Each ends only when it has seen the other."""
    out = scheduler.run(all_of(job("a", MEET, "x", "y"), job("b", MEET, "y", "x")), [{}, {}], tmp_path, {})
    assert out.failed == {}
    (_, _, _, first), (_, _, start, _) = sorted(out.spans, key=lambda span: span[2])
    assert start < first


def test_a_failure_stops_what_needs_it_and_nothing_else(tmp_path: Path) -> None:
    touch = "import sys; from pathlib import Path; Path(sys.argv[1]).touch()"
    planned = all_of(
        job("bad", "raise SystemExit('no such thing')"),
        job("after", touch, "after", needs=("bad",)),
        job("last", touch, "last", needs=("after", "fine")),
        job("fine", touch, "fine"),
        job("next", touch, "next", needs=("fine",)),
    )
    out = scheduler.run(planned, [{}], tmp_path, {})
    assert (out.failed, sorted(out.left)) == ({"bad": "no such thing"}, ["after", "last"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fine", "next"]


def test_what_the_first_champion_waits_for_has_a_slot(tmp_path: Path) -> None:
    """Though all that is left for it is short, it does not wait for the long ones; others wait for no slot of its."""
    planned = all_of(
        job("short", "", leads=True),
        job("decide", "", needs=("short",), leads=True),
        *(job(f"long-{number}", "", seconds=100.0) for number in range(4)),
    )
    spans = scheduler.run(planned, [{}], tmp_path, {}).spans
    assert [name for _, name, *_ in spans][:2] == ["short", "decide"]


def test_every_line_says_whose_it_is_and_a_slot_is_in_the_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "import os, sys; print('one', os.environ['SLOT']); print('two', os.environ['BOTH'], file=sys.stderr)"
    slots = [{"SLOT": "s0"}, {"SLOT": "s1"}]
    out = scheduler.run(all_of(job("a", said), job("b", said)), slots, tmp_path, {"BOTH": "x", "PYTHONUNBUFFERED": "1"})
    assert not out.failed
    printed = capsys.readouterr()
    lines = [[part.strip() for part in line.split("|")] for line in printed.out.splitlines()]
    assert sorted(lines) == sorted([["a", "one s0"], ["a", "two x"], ["b", "one s1"], ["b", "two x"]])
    assert printed.err.splitlines()[-1] == "genfoundry repro: 2/2 jobs, 0 running, 0 s left"


def test_the_share_of_the_time_that_slots_are_busy() -> None:
    out = scheduler.Outcome(spans=[(0, "a", 0.0, 4.0), (1, "b", 1.0, 3.0), (0, "c", 4.0, 10.0)])
    assert out.busy(2) == pytest.approx(0.6)


def seconds_left(
    *some: Job, slots: int, spans: list[tuple[int, str, float, float]], running: dict[str, float], now: float
) -> float:
    return estimate_seconds_left(all_of(*some), scheduler.rank_by_path(all_of(*some)), slots, spans, running, now)


def test_the_time_left_follows_what_ended_jobs_took() -> None:
    """Of 4 jobs of 10 s each the first took 20 s: the others will too, two at a time."""
    four = [job(name, "", seconds=10.0) for name in "abcd"]
    assert seconds_left(*four, slots=2, spans=[], running={"a": 0.0, "b": 0.0}, now=0.0) == 20.0
    five, spans = [*four, job("e", "", seconds=10.0)], [(0, "a", 0.0, 20.0)]
    left = seconds_left(*five, slots=2, spans=spans, running={"b": 0.0, "c": 20.0}, now=25.0)
    assert left == (0.0 + 15.0 + 20.0 + 20.0) / 2


def test_the_time_left_is_never_less_than_the_longest_path() -> None:
    """What runs has 2 s of its own left; behind it stands a row of 30 s, which no second slot makes shorter."""
    chain = [job("a", "", seconds=10.0), job("b", "", needs=("a",), seconds=30.0), job("c", "", seconds=1.0)]
    assert seconds_left(*chain, slots=8, spans=[], running={"a": 0.0, "c": 0.0}, now=8.0) == 2.0 + 30.0
    assert seconds_left(*chain, slots=8, spans=[], running={"a": 0.0, "c": 0.0}, now=50.0) == 30.0


FAREWELL = "ERROR: failed to reproduce 'train@x': failed to run: python -m pipeline train x, exited with 1"


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["Running stage 'train@x':", "> cmd", "genfoundry train: data/x: too few items", FAREWELL], "too few items"),
        (
            ["x fit 5/9 loss 1", "Traceback (most recent call last):", '  File "a", line 1', "ValueError: 3"],
            "ValueError",
        ),
        (["Running stage 'train@x':", "x fit 5/9 loss 1", FAREWELL.replace("with 1", "with -9")], "exited with -9"),
        (["genfoundry fetch@x: a warning", "Traceback (most recent call last):", "ValueError: 3"], "ValueError"),
        ([], "no reason given"),
    ],
)
def test_the_reason_of_a_failure_is_the_line_that_tells_it(lines: list[str], reason: str) -> None:
    assert reason in scheduler.find_reason(lines)


DRIVER = """
import sys
from pathlib import Path
from pipeline.orchestration import scheduler
from pipeline.orchestration.dag import Job
child = '''
import os, signal, sys, time
from pathlib import Path
try:
    print("up", os.getpid(), flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    Path(sys.argv[1]).write_text("saved")
    sys.exit(130)
'''
jobs = {name: Job(name, ("sh", "-c", f'"$0" -c "$1" {name}; exit 7', sys.executable, child)) for name in "ab"}
scheduler.run(jobs, [{}, {}], Path(), {})
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_the_jobs_too(how: signal.Signals, tmp_path: Path) -> None:
    """Also what a job has started itself: a stage saves its state and goes, and nobody is left behind."""
    env = {**toy.ENV, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"}
    driver = subprocess.Popen([sys.executable, "-c", DRIVER], cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True)
    assert driver.stdout is not None
    pids = [int(driver.stdout.readline().split()[-1]) for _ in "ab"]
    driver.send_signal(how)
    driver.communicate(timeout=60)
    assert driver.returncode != 0
    assert [(tmp_path / name).read_text() for name in "ab"] == ["saved", "saved"]
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


STUBBORN = """
import os, signal, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
print("up", os.getpid(), flush=True)
time.sleep(60)
"""


def test_a_job_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "PATIENCE", 0.2)
    monkeypatch.setattr(scheduler.Progress, "show", lambda *_, **__: None)
    began, before = time.monotonic(), signal.getsignal(signal.SIGTERM)  # Ray, where it was used, has one of its own

    def interrupt(line: str) -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        return len(line)

    monkeypatch.setattr(sys.stdout, "write", interrupt)
    with pytest.raises(KeyboardInterrupt):
        scheduler.run(all_of(job("a", STUBBORN)), [{}], tmp_path, {})
    assert time.monotonic() - began < 30
    assert signal.getsignal(signal.SIGTERM) is before


CHAINS = {f"{kind}{number}": [f"a{number}"] if kind == "b" else [] for number in range(4) for kind in "ab"}


def test_four_dvc_processes_end_with_the_serial_lock(tmp_path: Path) -> None:
    """DVC itself, unpatched, four processes at once: dvc.lock records what one process alone does."""
    together, alone = tmp_path / "together", tmp_path / "alone"
    for root in (together, alone):
        root.mkdir()
        toy.make(root, CHAINS)
    planned = dag.make_jobs(toy.units(CHAINS), CHAINS, {})
    assert scheduler.run(planned, [{}] * 4, together, toy.ENV).failed == {}
    toy.dvc(alone, "repro", "-q")
    assert toy.locked(together) == toy.locked(alone)
    assert len(toy.locked(alone)) == 8


def test_a_crash_does_not_lose_what_others_finished(tmp_path: Path) -> None:
    """Two DVC processes at once, the stage of one is killed: dvc.lock has the other's, and only the rest runs again."""
    stages: dict[str, list[str]] = {"a": [], "b": [], "gather": ["a", "b"]}
    crash = "import os, signal, time\nif name == 'a':\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    root, units = toy.make(tmp_path, stages, hook=crash), toy.units(stages)
    out = scheduler.run(dag.make_jobs(units, stages, {}), [{}, {}], root, toy.ENV)
    assert (list(out.failed), out.left) == (["a"], ["gather"])
    assert "failed to reproduce 'a'" in out.failed["a"]
    assert toy.locked(root).keys() == {"b"}
    (root / "hook.py").write_text("")
    due = dag.find_due(root)
    assert due == {"a", "gather"}
    out = scheduler.run(dag.make_jobs(units, due, {}), [{}, {}], root, toy.ENV)
    assert [name for _, name, *_ in out.spans] == ["a", "gather"]
    assert (root / "out/gather").read_text() == "gatherab"
    assert yaml.safe_load((root / "dvc.lock").read_text())["stages"].keys() == stages.keys()
