"""A training that survives its process: checkpoints, a time limit, progress, curves as CSV."""

from __future__ import annotations

import csv
import io
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from genfoundry import files, paths
from genfoundry.config import Train
from genfoundry.console.progress import Progress
from genfoundry.errors import UserError
from genfoundry.training.health import find_collapse
from genfoundry.training.loop import Probe, State, fit
from genfoundry.types import Event

if TYPE_CHECKING:
    from genfoundry.data.loaders import Loader
    from genfoundry.models.base import Learner

logger = logging.getLogger(__name__)
SAVE_EVERY = 15.0  # seconds; when a state is saved changes no result


@dataclass(frozen=True)
class Limit:
    """An experiment's max_minutes: past it a stage stops with its state saved, and records nothing.

    A result that depended on the clock would be no function of what the stage depends on.
    """

    name: str = ""
    minutes: float | None = None
    began: float = field(default_factory=lambda: time.time())  # seconds since 1970, as all machines of a run have it

    @classmethod
    def read(cls, name: str, began: float) -> Limit:
        """Read the time limit of an experiment, in minutes from `began` (seconds since 1970) on."""
        minutes = files.read_json(paths.LIMITS).get(name) if paths.LIMITS.exists() else None
        return cls(name, minutes, began)

    def is_over(self) -> bool:
        """Return whether the time limit is reached."""
        return self.minutes is not None and time.time() - self.began >= 60 * self.minutes

    def error(self, where: str, saved: str) -> UserError:
        """Return the error to raise at the time limit, once the state has been saved."""
        return UserError(
            f"max_minutes.{self.name}: {self.minutes:g} reached {where}; {saved} kept, raise max_minutes and run again "
            "to go on"
        )


@dataclass
class Trainer:
    """Trains a model: everything about one training but the model.

    Attributes:
        loader: of the training split.
        settings: steps, learning rates and the rest.
        key: what every random draw is seeded by.
        folder: of the checkpoint, from which a training goes on that was killed; None: it starts anew.
        limit: past it the training stops.
        on_event: called with each event, those of an earlier process included.
        name: under which progress is shown; "": none is.
        save_every: seconds between checkpoints.
        probe: what looks at the model at events.
    """

    loader: Loader
    settings: Train
    key: tuple[object, ...]
    folder: Path | None = None
    limit: Limit = field(default_factory=Limit)
    on_event: Callable[[Event], None] = lambda event: None
    name: str = ""
    save_every: float = SAVE_EVERY
    probe: Probe | None = None

    def fit(self, model: Learner) -> list[Event]:
        """Train to the end and return every event; the model is in evaluation mode then.

        Raises:
            Diverged: the losses are not finite any more.
            UserError: the limit is reached; the state is saved, and the next call goes on from it to the same bits.
        """
        path = self.folder / "state.safetensors" if self.folder else None
        state = State.load(path, model) if path and path.exists() else State()
        for event in state.events:
            self.on_event(event)
        steps = [self.settings.steps.get(phase, 0) for phase in model.phases]
        before = dict(zip(model.phases, accumulate(steps, initial=0), strict=False))  # the sum of all is left over
        saved = time.monotonic()  # the time of day may be set back
        warned = False
        with Progress(self.name, sum(steps)) as progress:
            progress.resume(sum(steps[: state.phase]) + state.step)
            for event in fit(model, self.loader, self.settings, key=self.key, state=state, probe=self.probe):
                self.on_event(event)
                if not warned and (collapse := find_collapse(state.events)):
                    warned = True  # once: it mostly stays so
                    logger.warning(
                        "%s: step %d of %d: %s", self.name or "training", event.clock.step, event.clock.total, collapse
                    )
                done = before[event.clock.phase] + event.clock.step
                if self.name:
                    shown = [*event.losses.items(), *((n.replace("_", " "), v) for n, v in event.health.items())]
                    words = ", ".join(f"{name} {value:.4g}" for name, value in shown)
                    progress.show(done, f"{event.clock.phase} {words}".rstrip())
                # A training that is over is not stopped any more
                stop = self.limit.is_over() and state.phase < len(model.phases)
                if path and (stop or time.monotonic() - saved >= self.save_every):
                    state.save(path, model)
                    saved = time.monotonic()
                if stop:
                    raise self.limit.error(f"at step {done}/{sum(steps)}", "the state is")
        model.eval()
        return state.events


def shorten(train: Train, share: float) -> Train:
    """Return the settings with a share of the steps, at least one a phase, for a tuning trial."""
    steps = {phase: max(1, round(n * share)) if n else 0 for phase, n in train.steps.items()}
    return train.model_copy(update={"steps": steps})


def format_curves(events: list[Event]) -> str:
    """CSV with a row an event: phase, step, skipped steps, a column for each loss, learning rate, norm, health."""
    rows = [dict(event.iterate_columns()) for event in events]
    kinds = ("loss", "lr", "grad_norm", "health")
    columns = sorted({column for row in rows for column in row}, key=lambda c: (kinds.index(c.partition(".")[0]), c))
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["phase", "step", "skipped", *columns])
    for event, row in zip(events, rows, strict=True):
        writer.writerow([event.clock.phase, event.clock.step, event.skipped, *(row.get(c, "") for c in columns)])
    return table.getvalue()


def record_pace(path: Path, name: str, seconds_per_step: float) -> None:
    """Write the seconds a step takes on this machine to `path`, for estimates of a plan's time; under a file lock."""
    with files.file_lock(path):
        paces = files.read_json(path) if path.exists() else {}
        files.write_json(path, {**paces, name: round(seconds_per_step, 6)})
