"""A training that outlives its process: the same bytes whenever it was stopped, and a line that says how long is left.

Run as a script this file is the process that is killed: `python test_trainer.py FOLDER EVENT`.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from genfoundry.config import Train
from genfoundry.errors import UserError
from genfoundry.models import checkpoint
from genfoundry.models.base import Hyper, Learner
from genfoundry.seeding import derive_seed
from genfoundry.training import trainer
from genfoundry.training.trainer import Limit, Trainer, format_curves, record_pace, shorten
from genfoundry.types import Batch, Clock, Event, Spec

SPEC = Spec((2,), None)
KEY = (20, "two-phases")
NEVER = Limit()
STEPS = {"codes": 30, "prior": 60}  # an event a step, then every 2


class Noise:
    """A loader of counted batches, as the real one is."""

    split: Any = None

    def batch(self, phase: str, step: int) -> Batch:
        return Batch(torch.randn(4, 2, generator=torch.Generator().manual_seed(derive_seed(phase, step))))


class TwoPhases(Learner):
    """A game of two, then a prior on what they made, whose start is fitted in `begin`; one step is non-finite."""

    phases: ClassVar[tuple[str, ...]] = ("codes", "prior")
    defaults: ClassVar[dict[str, Any]] = {"lr": {"critic": 0.02, "coder": 0.02, "prior": 0.05}}

    def __init__(self, spec: Spec = SPEC, config: Hyper | None = None) -> None:
        super().__init__(spec, config or Hyper())
        self.critic = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Dropout(0.2), nn.Linear(3, 1))
        self.coder = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
        self.prior = nn.Linear(2, 2)
        self.register_buffer("level", torch.zeros(2))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def players(self) -> dict[str, list[nn.Parameter]]:
        return {name: list(getattr(self, name).parameters()) for name in ("critic", "coder", "prior")}

    def begin(self, phase: str, data: Any) -> None:
        if phase == "prior":
            self.level.copy_(self.coder[0].weight.detach().mean(0) + torch.randn(2))

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        self.seen += 1
        if clock.phase == "codes":
            self.set_training("critic")
            yield {"critic": self.critic(self.coder(batch.x)).mean() + self.critic(batch.x).square().mean()}
            self.set_training("coder")
            yield {"coder": -self.critic(self.coder(batch.x) + 0.1 * torch.randn(4, 2)).mean()}
        else:
            self.set_training("prior")
            scale = math.nan if clock.step == 13 else 1.0
            yield {"prior": scale * (self.prior(self.coder(batch.x).detach()) - self.level).square().mean()}


def fresh() -> TwoPhases:
    torch.manual_seed(derive_seed(*KEY, "init"))
    return TwoPhases()


def trained(
    folder: Path,
    watch: Callable[[Event], None] = lambda event: None,
    every: float = 0.0,
    limit: Limit = NEVER,
) -> dict[str, bytes]:
    """What a stage leaves of a session: the weights' file and the CSV."""
    train = Train(lr=TwoPhases.defaults["lr"], steps=STEPS, ema=0.9, weight_decay=0.01)
    model = fresh()
    events = Trainer(Noise(), train, KEY, folder, limit, watch, KEY[-1], every).fit(model)  # type: ignore[arg-type]
    assert not any(module.training for module in model.modules())
    checkpoint.save(folder / "model", model, {})
    files = {path.name: path.read_bytes() for path in (folder / "model").iterdir()}
    return {**files, "csv": format_curves(events).encode()}


class Stopped(Exception):
    pass


def stop_at(number: int, how: Callable[[], None]) -> Callable[[Event], None]:
    """A watch that stops the session at its event `number`, those of earlier processes counted."""
    seen = []

    def watch(event: Event) -> None:
        seen.append(event)
        if len(seen) == number + 1:
            how()

    return watch


def stop() -> None:
    raise Stopped


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """An uninterrupted session that saved nothing: nor may saving change a bit."""
    folder = tmp_path_factory.mktemp("whole")
    found = trained(folder, every=1e9)
    assert not (folder / "state.safetensors").exists()
    return found


# Among the first phase's events, at its last (29), at the second's first, behind the non-finite step, at the very last.
@pytest.mark.parametrize("stops", [(1, 31), (29,), (12, 29, 30, 47), (59,)])
def test_stopped_and_started_again(stops: tuple[int, ...], whole: dict[str, bytes], tmp_path: Path) -> None:
    for number in stops:
        with pytest.raises(Stopped):
            trained(tmp_path, stop_at(number, stop))
        assert (tmp_path / "state.safetensors").exists()
        torch.manual_seed(number)  # nothing may hang on what the generator was before
        torch.randn(number)
    seen: list[Event] = []
    assert trained(tmp_path, seen.append) == whole
    assert format_curves(seen).encode() == whole["csv"]  # who watches sees every event, in order


def test_a_session_that_was_over_is_not_trained_again(whole: dict[str, bytes], tmp_path: Path) -> None:
    trained(tmp_path)
    state = (tmp_path / "state.safetensors").read_bytes()
    assert trained(tmp_path) == whole
    assert (tmp_path / "state.safetensors").read_bytes() == state


def test_a_process_that_was_killed(whole: dict[str, bytes], tmp_path: Path) -> None:
    command = [sys.executable, __file__, str(tmp_path), "47"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (tmp_path / "state.safetensors").exists()
    assert trained(tmp_path) == whole


def test_stopped_before_anything_was_saved(whole: dict[str, bytes], tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        trained(tmp_path, stop_at(20, stop), every=1e9)
    assert trained(tmp_path) == whole


def test_a_state_that_is_damaged_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        trained(tmp_path, stop_at(10, stop))
    path = tmp_path / "state.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(UserError, match=f"^{path}: not readable as safetensors") as caught:
        trained(tmp_path)
    assert len(str(caught.value).splitlines()) == 1


def test_the_csv(whole: dict[str, bytes]) -> None:
    rows = [line.split(",") for line in whole["csv"].decode().splitlines()]
    names = ("coder", "critic", "prior")
    columns = [f"{kind}.{name}" for kind in ("loss", "lr", "grad_norm") for name in names]
    assert rows[0] == ["phase", "step", "skipped", *columns]
    assert all(len(row) == len(rows[0]) for row in rows)
    codes, prior = ([row for row in rows if row[0] == phase] for phase in STEPS)
    assert [int(row[1]) for row in codes] == list(range(1, 31))
    assert [int(row[1]) for row in prior] == list(range(2, 61, 2))
    assert all(row[3] and row[4] and not row[5] for row in codes)
    assert [row[2] for row in prior] == ["0"] * 6 + ["1"] * 24
    assert [bool(row[5]) for row in prior] == [True] * 6 + [False] + [True] * 23  # no mean where a step had no loss
    assert b"\r" not in whole["csv"]


class Clockwork:
    """Time that passes when told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        for clock in (
            "monotonic",
            "time",
        ):  # minutes are of the time of day, as all machines have it
            monkeypatch.setattr(trainer.time, clock, lambda: self.now)


def test_a_session_past_its_minutes_goes_on_to_the_same_bits(
    whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event takes a minute: the limit stops it in the first phase, at its end, in the second, and then no more."""
    clock = Clockwork(monkeypatch)

    def minute(event: Event) -> None:
        clock.now += 60

    at = []
    for minutes in (12, 30.0, 59):  # an earlier process's events are shown to `watch` again
        with pytest.raises(
            UserError, match=r"^max_minutes.two-phases: .* the state is kept, raise max_minutes"
        ) as stop:
            trained(tmp_path, minute, every=1e9, limit=Limit("two-phases", minutes))
        at.append(str(stop.value).split("reached at step ")[1].split(";")[0])
    assert at == ["12/90", "30/90", "88/90"]
    assert trained(tmp_path, minute, every=1e9, limit=Limit("two-phases", 60)) == whole  # the end is no stop


def test_progress_counts_the_steps_of_all_phases_and_the_time_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An event takes six seconds. Of a training that goes on, the pace is that of this process alone."""
    clock = Clockwork(monkeypatch)

    def wait(event: Event) -> None:
        clock.now += 6

    with pytest.raises(UserError, match="reached at step 12/90"):
        trained(tmp_path, wait, every=1e9, limit=Limit("two-phases", 1.2))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 12
    assert lines[1].startswith("two-phases: 2/90, codes critic ") and lines[1].endswith(", 9 min left")
    trained(tmp_path, wait, every=1e9)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 60 - 12
    assert lines[0].startswith("two-phases: 13/90, codes ")
    assert lines[-1].startswith("two-phases: 90/90, prior ") and lines[-1].endswith(", 0 s left")


def test_shorter_keeps_what_is_0() -> None:
    train = Train(steps={"codes": 100, "prior": 0, "tiny": 3})
    assert shorten(train, 0.1).steps == {"codes": 10, "prior": 0, "tiny": 1}
    assert train.steps["codes"] == 100


def test_the_speed_is_remembered(tmp_path: Path) -> None:
    path = tmp_path / ".state/speed.json"
    record_pace(path, "a", 0.12345678)
    record_pace(path, "b", 2.0)
    record_pace(path, "a", 1.0)
    assert json.loads(path.read_text()) == {"a": 1.0, "b": 2.0}


def test_no_speed_is_lost_between_trainings_at_once(tmp_path: Path) -> None:
    """Eight writers that meet: each reads, adds and writes, and none undoes another's."""
    path, names = tmp_path / ".state/speed.json", [f"{writer}-{number}" for writer in range(8) for number in range(20)]
    meet = threading.Barrier(8)

    def write(writer: int) -> None:
        meet.wait()
        for name in names[20 * writer : 20 * writer + 20]:
            record_pace(path, name, 1.0)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    assert sorted(json.loads(path.read_text())) == sorted(names)


if __name__ == "__main__":
    torch.set_num_threads(1)
    trained(Path(sys.argv[1]), stop_at(int(sys.argv[2]), lambda: os.kill(os.getpid(), signal.SIGKILL)))
