"""A training that outlives its process: checkpoints under .state/, progress with the time left, curves as CSV."""

from __future__ import annotations

import csv
import io
import json
import sys
import time
from collections.abc import Callable, Mapping
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from genfoundry import files, paths
from genfoundry.config import Train
from genfoundry.errors import UserError
from genfoundry.training.loop import State, fit
from genfoundry.types import Clock, Event

if TYPE_CHECKING:
    from genfoundry.data.loaders import Loader
    from genfoundry.models.base import Learner

SAVE_EVERY = 15.0  # seconds; when a state is saved changes no result
SHOW_EVERY = 5.0


class Limit:
    """An experiment's max_minutes: past it a stage stops with its state kept, and records nothing.

    A result that depended on the clock would be no function of what the stage depends on.
    """

    def __init__(self, name: str, minutes: float | None, began: float | None = None) -> None:
        self.name, self.minutes = name, minutes
        self.began = time.time() if began is None else began

    @classmethod
    def read(cls, name: str, began: float) -> Limit:
        """The minutes that params.yaml gives an experiment, from `began` (seconds since 1970) on."""
        minutes = files.read_json(paths.LIMITS).get(name) if paths.LIMITS.exists() else None
        return cls(name, minutes, began)

    def over(self) -> bool:
        """Whether the stage has had its minutes."""
        return self.minutes is not None and time.time() - self.began >= 60 * self.minutes

    def error(self, where: str, kept: str) -> UserError:
        """What to raise once what there is has been saved."""
        return UserError(
            f"max_minutes.{self.name}: {self.minutes:g} reached {where}; {kept} kept, raise max_minutes and run again "
            "to go on"
        )


NEVER = Limit("", None)


def session(
    model: Learner,
    loader: Loader,
    train: Train,
    *,
    key: tuple[object, ...],
    folder: Path,
    watch: Callable[[Event], None] = lambda event: None,
    save_every: float = SAVE_EVERY,
    limit: Limit = NEVER,
) -> list[Event]:
    """Train to the end, from the state that `folder` holds if a killed process left one; returns every event.

    Raises:
        UserError: the limit is reached; the state is saved, and the next session goes on from it to the same bits.
    """
    path = folder / "state.safetensors"
    state = State.load(path, model) if path.exists() else State()
    for event in state.events:
        watch(event)
    show = Progress(str(key[-1]), {phase: train.steps.get(phase, 0) for phase in model.phases})
    saved = time.monotonic()
    for event in fit(model, loader, train, key=key, state=state):
        watch(event)
        show(event)
        if time.monotonic() - saved >= save_every:
            state.save(path, model)
            saved = time.monotonic()
        if limit.over() and state.phase < len(model.phases):
            state.save(path, model)
            raise limit.error(f"at step {show.done(event.clock)}/{show.total}", "the state is")
    model.eval()
    return state.events


def shorter(train: Train, share: float) -> Train:
    """The same training with a share of the steps: what a trial of a tuning gets."""
    steps = {phase: max(1, round(n * share)) if n else 0 for phase, n in train.steps.items()}
    return train.model_copy(update={"steps": steps})


class Progress:
    """One line on standard error every few seconds: losses, and the time left as far as can be told."""

    def __init__(self, name: str, steps: Mapping[str, int]) -> None:
        self.name, self.total = name, sum(steps.values())
        self.before = dict(zip(steps, accumulate(steps.values(), initial=0), strict=False))
        self.start = self.shown = time.monotonic()
        self.first: int | None = None

    def done(self, clock: Clock) -> int:
        """Steps of all phases that are over."""
        return self.before[clock.phase] + clock.step

    def __call__(self, event: Event) -> None:
        clock, now = event.clock, time.monotonic()
        done = self.done(clock)
        if self.first is None:  # a session that goes on had its first steps in another process
            self.first, self.start = done, now
        if now - self.shown < SHOW_EVERY:
            return
        self.shown = now
        pace = (now - self.start) / max(1, done - self.first)
        left = f"{pace * max(0, self.total - done):.0f} s left" if done > self.first else ""
        losses = " ".join(f"{name} {value:.4g}" for name, value in event.losses.items())
        print(f"{self.name} {clock.phase} {clock.step}/{clock.total} {losses} {left}".rstrip(), file=sys.stderr)


def curves(events: list[Event]) -> str:
    """CSV, a row an event: phase, step, skipped steps, a column a loss and a learning rate."""
    losses = sorted({name for event in events for name in event.losses})
    rates = sorted({name for event in events for name in event.rates})
    table = io.StringIO()
    write = csv.writer(table, lineterminator="\n")
    write.writerow(["phase", "step", "skipped", *(f"loss.{n}" for n in losses), *(f"lr.{n}" for n in rates)])
    for event in events:
        values = [event.losses.get(n, "") for n in losses] + [event.rates.get(n, "") for n in rates]
        write.writerow([event.clock.phase, event.clock.step, event.skipped, *values])
    return table.getvalue()


def remember_speed(path: Path, name: str, seconds_per_step: float) -> None:
    """Note what a step cost here, for the plan's expected time. Safe against other writers."""
    with files.file_lock(path):
        known = json.loads(path.read_text()) if path.exists() else {}
        files.write_json(path, {**known, name: round(seconds_per_step, 6)})
