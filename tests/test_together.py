"""Jobs side by side, as real processes: at once, each to itself, one's failure not another's, and a clean end."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pipelet
import pytest

from genfoundry import graph, jobs, together
from genfoundry.jobs import Job

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
    out = together.run(all_of(job("a", MEET, "x", "y"), job("b", MEET, "y", "x")), [{}, {}], tmp_path, {})
    assert out.failed == []
    (_, _, _, first), (_, _, start, _) = sorted(out.spans, key=lambda span: span[2])
    assert start < first


def test_a_failure_stops_what_needs_it_and_nothing_else(tmp_path: Path) -> None:
    touch = "import sys; from pathlib import Path; Path(sys.argv[1]).touch()"
    planned = all_of(
        job("bad", "raise SystemExit(3)"),
        job("after", touch, "after", needs=("bad",)),
        job("last", touch, "last", needs=("after", "fine")),
        job("fine", touch, "fine"),
        job("next", touch, "next", needs=("fine",)),
    )
    out = together.run(planned, [{}], tmp_path, {})
    assert (out.failed, sorted(out.left)) == (["bad"], ["after", "last"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fine", "next"]


def test_the_first_champions_jobs_have_a_place_of_their_own(tmp_path: Path) -> None:
    """Though all that is left for them is short, they do not wait for the long ones."""
    planned = all_of(
        job("short", ""),
        job("decide", "", needs=("short",), decides=True),
        *(job(f"long-{number}", "", seconds=100.0) for number in range(4)),
    )
    spans = together.run(planned, [{}], tmp_path, {}).spans
    assert [name for _, name, *_ in spans][:2] == ["short", "decide"]


def test_every_line_says_whose_it_is_and_a_place_is_in_the_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "import os, sys; print('one', os.environ['PLACE']); print('two', os.environ['BOTH'], file=sys.stderr)"
    places = [{"PLACE": "p0"}, {"PLACE": "p1"}]
    out = together.run(all_of(job("a", said), job("b", said)), places, tmp_path, {"BOTH": "x", "PYTHONUNBUFFERED": "1"})
    assert not out.failed
    lines = [[part.strip() for part in line.split("|")] for line in capsys.readouterr().out.splitlines()]
    assert sorted(lines) == sorted([["a", "one p0"], ["a", "two x"], ["b", "one p1"], ["b", "two x"]])


def test_the_share_of_the_time_that_places_are_busy() -> None:
    out = together.Outcome(spans=[(0, "a", 0.0, 4.0), (1, "b", 1.0, 3.0), (0, "c", 4.0, 10.0)])
    assert out.busy(2) == pytest.approx(0.6)


DRIVER = """
import sys
from itertools import pairwise
from pathlib import Path
from genfoundry import together
from genfoundry.jobs import Job
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
together.run(jobs, [{}, {}], Path(), {})
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_the_jobs_too(how: signal.Signals, tmp_path: Path) -> None:
    """Also what a job has started itself: a stage saves its state and goes, and nobody is left behind."""
    driver = pipelet.started(tmp_path, sys.executable, "-c", DRIVER)
    assert driver.stdout is not None
    pids = [int(driver.stdout.readline().split()[-1]) for _ in "ab"]
    driver.send_signal(how)
    driver.wait(60)
    assert driver.returncode != 0
    assert [(tmp_path / name).read_text() for name in "ab"] == ["saved", "saved"]
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


CRASH = "import os, signal, time\nif name == 'a':\n    os.kill(os.getpid(), signal.SIGKILL)\n"


def test_a_crash_does_not_lose_what_others_finished(tmp_path: Path) -> None:
    """Two DVC processes at once, a stage of one is killed: dvc.lock has the other's, and only the rest runs again."""
    root = pipelet.make(tmp_path, CRASH)
    pipelet.good(pipelet.dvc(root, "repro", "code"))
    stages = graph.stages(root)
    out = together.run(jobs.planned(stages, set(stages) - {"code"}, {}), [{}, {}], root, pipelet.env())
    assert (out.failed, out.left) == (["act@a"], ["gather"])
    assert pipelet.locked(root) == {"code", "act@b"}
    pipelet.hooked(root, "")
    said = pipelet.good(pipelet.dvc(root, "repro", "gather"))
    assert "Stage 'act@b' didn't change, skipping" in said
    assert (root / "all").read_text() == "xaxb"


def test_side_by_side_ends_with_the_serial_lock(tmp_path: Path) -> None:
    """The two stages meet while they run, so the two DVC processes are at work at the same time."""
    meet = MEET.replace("mine, other = sys.argv[1:]", "mine, other = f'at-{name}', 'at-b' if name == 'a' else 'at-a'")
    root = pipelet.make(tmp_path / "beside", meet)
    pipelet.good(pipelet.dvc(root, "repro", "code"))
    stages = graph.stages(root)
    assert together.run(jobs.planned(stages, set(stages), {}), [{}, {}], root, pipelet.env()).failed == []
    serial = pipelet.make(tmp_path / "serial")
    pipelet.good(pipelet.dvc(serial, "repro", "gather"))
    assert graph.read(root / "dvc.lock") == graph.read(serial / "dvc.lock")
