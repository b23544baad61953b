"""The training loop: the only loop and the only `backward()`. It knows no model: each names its players and losses."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from genfoundry import files
from genfoundry.config import Train
from genfoundry.errors import UserError
from genfoundry.models import checkpoint
from genfoundry.models.base import Learner
from genfoundry.seeding import derive_seed
from genfoundry.training.optimizer import AdamW
from genfoundry.types import Batch, Clock, Event

if TYPE_CHECKING:
    from genfoundry.data.loaders import Loader

EVENTS = 50  # a phase: each costs one device synchronisation
Probe = Callable[[Learner, Clock], dict[str, float]]


class Diverged(UserError):
    """No step of an interval, and at least ten in all, gave a finite loss and gradient."""


def count_interval(total: int) -> int:
    """Return the steps from one event of a phase to the next."""
    return max(1, math.ceil(total / EVENTS))


def learning_rate(step: int, total: int, train: Train, peak: float) -> float:
    """Return the learning rate of a step: linear warm-up, then a cosine decay from `peak` to `final * peak`.

    Cosine decay: Loshchilov and Hutter 2017 (arXiv:1608.03983), without restarts.
    """
    warmup = max(1, round(train.warmup * total))
    if step < warmup:
        return peak * (step + 1) / warmup  # above 0 at step 0
    share = (step - warmup) / max(1, total - warmup)
    return peak * (train.final + (1 - train.final) * 0.5 * (1 + math.cos(math.pi * share)))


class State:
    """What a training needs besides the model's weights and buffers to continue to the same bits.

    Attributes:
        phase: index of the phase; `step` of it come next.
        events: every event so far.
        optimizers: player -> optimizer, in a phase.
        average: name -> moving average of a weight or buffer, in a phase.
        skipped: () steps of the phase that were left out because they were not finite, on the model's device.
    """

    def __init__(self) -> None:
        self.phase = 0
        self.step = 0
        self.events: list[Event] = []
        self.optimizers: dict[str, AdamW] = {}
        self.average: dict[str, Tensor] = {}
        self.skipped = torch.zeros(())
        self._saved: dict[str, Tensor] = {}  # read from disk, and to be restored once the phase is open

    def open_phase(self, model: Learner, train: Train, players: dict[str, list[torch.nn.Parameter]]) -> None:
        """Make optimizers and moving average of a phase: new, or as they were when the process was killed."""
        self.optimizers = {name: AdamW(p, train.weight_decay, train.betas) for name, p in players.items() if p}
        # Buffers are averaged, too: batch statistics go with the weights that they were measured with
        floats = {k: v for k, v in model.state_dict().items() if v.is_floating_point()} if train.ema else {}
        self.average = {k: v.clone() for k, v in floats.items()}
        self.skipped = torch.zeros((), device=model.device)
        if self._saved:
            self._restore(model.device)

    def close_phase(self) -> None:
        """Go on to the next phase."""
        self.phase, self.step, self.optimizers, self.average = self.phase + 1, 0, {}, {}

    def _restore(self, device: torch.device) -> None:
        for name in self.average:
            self.average[name].copy_(self._saved[f"average/{name}"])
        self.skipped = self._saved["skipped"].to(device)
        for name, optimizer in self.optimizers.items():
            for index, parameter in enumerate(optimizer.parameters):
                prefix = f"optimizer/{name}/{index}/"
                moments = {k.removeprefix(prefix): v for k, v in self._saved.items() if k.startswith(prefix)}
                if moments:  # a fused step counter lives on the parameter's device, like the moments
                    optimizer.state[parameter] = {k: v.to(parameter.device) for k, v in moments.items()}
        self._saved = {}

    def save(self, path: Path, model: Learner) -> None:
        """Write weights, buffers and state as one file, atomically."""
        tensors = {f"model/{k}": v for k, v in model.state_dict().items()}
        tensors |= {f"buffer/{k}": v for k, v in model.named_buffers() if f"model/{k}" not in tensors}
        tensors |= {f"average/{k}": v for k, v in self.average.items()} | {"skipped": self.skipped}
        for name, optimizer in self.optimizers.items():
            for index, parameter in enumerate(optimizer.parameters):
                moments = optimizer.state.get(parameter, {})
                tensors |= {f"optimizer/{name}/{index}/{key}": value for key, value in moments.items()}
        events = [asdict(event) for event in self.events]
        files.write_tensors(path, tensors, {"phase": self.phase, "step": self.step, "events": events})

    @classmethod
    def load(cls, path: Path, model: Learner) -> State:
        """Read the state in `path`, and load the weights that were saved with it into the model.

        Raises:
            UserError: the file is damaged, or of another model.
        """
        tensors, note = files.read_tensors(path), files.read_note(path)
        weights = {k.removeprefix("model/"): v for k, v in tensors.items() if k.startswith("model/")}
        checkpoint.load_weights(model, weights, path)
        for name, tensor in tensors.items():
            if name.startswith("buffer/"):  # not persistent, and of any shape
                module, _, leaf = name.removeprefix("buffer/").rpartition(".")
                setattr(model.get_submodule(module), leaf, tensor.to(model.device))
        state = cls()
        state.phase, state.step = note["phase"], note["step"]
        state.events = [Event(**{**e, "clock": Clock(**e["clock"])}) for e in note["events"]]
        state._saved = tensors if state.step else {}
        return state


def fit(
    model: Learner,
    loader: Loader,
    train: Train,
    *,
    key: tuple[object, ...],
    state: State | None = None,
    probe: Probe | None = None,
) -> Iterator[Event]:
    """Train `model` through its phases; yields an Event now and then, when `state` may be saved.

    Batch and noise of a step are functions of (key, phase, step), so a training that continues from a saved state ends
    with the same bits. A player's step with a non-finite loss or gradient is left out and counted.

    Args:
        model: on its device already.
        loader: of the training split.
        train: settings; `lr` has a learning rate for each player.
        key: what every random draw is seeded by.
        state: of an earlier process; it is kept up to date.
        probe: looks at the model at each event (`evaluation.class_share`); what it returns joins `Event.health`.

    Raises:
        Diverged: no step since the last event was finite, and ten or more were not.
    """
    state = state or State()
    for phase in model.phases[state.phase :]:
        yield from _Phase(model, train, state, phase, probe).run(loader, key)


class _Phase:
    """The steps of one phase, and what was measured since its last event."""

    def __init__(self, model: Learner, train: Train, state: State, name: str, probe: Probe | None) -> None:
        self.model, self.train, self.state, self.name, self.probe = model, train, state, name, probe
        self.players = model.players()
        self.total = train.steps.get(name, 0) if any(self.players.values()) else 0
        self.steps = self.skipped = 0  # since the last event, and until it
        self.measured: dict[tuple[str, str], list[Tensor]] = {}  # (kind, name) -> a scalar of each step, on the device

    def run(self, loader: Loader, key: tuple[object, ...]) -> Iterator[Event]:
        model, state, total = self.model, self.state, self.total
        if state.step == 0:
            torch.manual_seed(derive_seed(*key, self.name, "begin"))
            model.begin(self.name, loader.split)
        model.train()
        state.open_phase(model, self.train, self.players)
        self.skipped = int(state.skipped.item())
        every = count_interval(total)
        for step in range(state.step, total):
            # Seeded at every step, so that no generator's state has to be saved
            torch.manual_seed(derive_seed(*key, self.name, step))
            self._step(loader.batch(self.name, step), Clock(self.name, step, total))
            state.step = step + 1
            if state.step % every == 0 and state.step < total:
                yield self._make_event(state.step)
        if self.train.ema and total:
            model.load_state_dict(state.average, strict=False)  # integers are not averaged
        model.end(self.name, loader.split)
        event = self._make_event(total)
        state.close_phase()
        yield event

    def _step(self, batch: Batch, clock: Clock) -> None:
        model, train = self.model, self.train
        model.set_training(*self.state.optimizers)
        model.diagnostics.clear()  # of an earlier step: a model need not write all of them in each
        game = model.losses(batch, clock)
        while True:
            # Around each next(), never across a yield: the cache of cast weights would serve players that have moved.
            with torch.autocast(model.device.type, torch.bfloat16, enabled=train.precision == "bf16"):
                losses = next(game, None)
            if losses is None:
                break
            self._differentiate(losses)
            for name, loss in losses.items():
                self._move(name, loss, clock)
                self._note("losses", name, loss)
        for name, value in model.diagnostics.items():
            self._note("health", name, value)
        self.steps += 1
        if train.ema:
            # At the start a shorter average, which soon forgets the initial weights
            decay = min(train.ema, (1 + clock.step) / (10 + clock.step))
            current, average = model.state_dict(), self.state.average
            update = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
            update(list(average.values()), [current[k] for k in average], None)

    def _note(self, kind: str, name: str, value: Tensor) -> None:
        self.measured.setdefault((kind, name), []).append(value.detach())  # keeps no graph, and waits for nothing

    def _differentiate(self, losses: dict[str, Tensor]) -> None:
        """Each player's gradient comes from its own loss alone, and all come before anyone moves."""
        for left, (name, loss) in enumerate(losses.items(), start=1 - len(losses)):
            optimizer = self.state.optimizers[name]
            optimizer.zero_grad()
            torch.autograd.backward(loss, inputs=optimizer.parameters, retain_graph=left < 0)  # the last frees it

    def _move(self, name: str, loss: Tensor, clock: Clock) -> None:
        optimizer, train = self.state.optimizers[name], self.train
        norm = torch.nn.utils.get_total_norm(optimizer.gradients())
        self._note("norms", name, norm)
        # A tensor on the device: to ask whether it is 1 would make every step wait
        non_finite = (~torch.isfinite(norm + loss.detach())).float()
        self.state.skipped = self.state.skipped + non_finite
        scale = (norm / train.clip).clamp_min(1.0) if train.clip else None  # divides the gradients
        optimizer.step(learning_rate(clock.step, clock.total, train, train.lr[name]), scale, non_finite)

    def _make_event(self, step: int) -> Event:
        """Means since the last event; the only place where a phase waits for the device."""
        skipped, before = int(self.state.skipped.item()), self.skipped
        if self.steps and skipped - before >= self.steps and skipped >= min(10, self.total):
            raise Diverged(
                f"training diverged in phase {self.name} before step {step}: {skipped} non-finite steps; "
                "lower train.lr or train.clip"
            )
        moved = self.state.optimizers if self.steps else ()
        rates = {name: learning_rate(step - 1, self.total, self.train, self.train.lr[name]) for name in moved}
        clock, means = Clock(self.name, step, self.total), self._take_means()
        if self.probe is not None and self.steps:
            means["health"] |= self.probe(self.model, clock)
        event = Event(clock, rates=rates, skipped=skipped, **means)
        self.state.events.append(event)
        self.steps, self.skipped = 0, skipped
        return event

    def _take_means(self) -> dict[str, dict[str, float]]:
        """Kind -> name -> mean since the last event, those that are not finite left out; in one transfer."""
        means: dict[str, dict[str, float]] = {"losses": {}, "norms": {}, "health": {}}
        if self.measured:
            stacked = torch.stack([torch.stack(values).float().mean() for values in self.measured.values()])
            for (kind, name), value in zip(self.measured, stacked.tolist(), strict=True):
                if math.isfinite(value):
                    means[kind][name] = value
        self.measured = {}
        return means
