"""`fit`: the only loop and the only `backward()`. It knows no model: every model is a game of players."""

from __future__ import annotations

import math
from collections.abc import Iterator
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


class Diverged(UserError):
    """No step of an interval, and at least ten in all, gave a finite loss and gradient."""


def rate(step: int, total: int, train: Train, peak: float) -> float:
    """Learning rate of a step: linear warm-up, then a cosine from `peak` to `final * peak`."""
    rise = max(1, round(train.warmup * total))
    if step < rise:
        return peak * (step + 1) / rise
    share = (step - rise) / max(1, total - rise)
    return peak * (train.final + (1 - train.final) * 0.5 * (1 + math.cos(math.pi * share)))


class State:
    """All that a training needs, besides the model's weights and buffers, to go on to the same bits."""

    def __init__(self) -> None:
        self.phase = 0
        self.step = 0
        self.events: list[Event] = []
        self.optimizers: dict[str, AdamW] = {}
        self.average: dict[str, Tensor] = {}
        self.skipped: Tensor | None = None
        self._pending: dict[str, Tensor] = {}

    def open(self, model: Learner, train: Train, players: dict[str, list[torch.nn.Parameter]]) -> None:
        """Optimizers and moving average of a phase: new, or as they were when the process was killed."""
        self.optimizers = {
            name: AdamW(parameters, train.weight_decay, train.betas)
            for name, parameters in players.items()
            if parameters
        }
        floats = {k: v for k, v in model.state_dict().items() if v.is_floating_point()} if train.ema else {}
        self.average = {k: v.clone() for k, v in floats.items()}
        self.skipped = torch.zeros((), device=model.device)
        if self._pending:
            self._restore(model.device)

    def _restore(self, device: torch.device) -> None:
        for name in self.average:
            self.average[name].copy_(self._pending[f"average/{name}"])
        self.skipped = self._pending["skipped"].to(device)
        for name, optimizer in self.optimizers.items():
            for index, parameter in enumerate(optimizer.parameters):
                prefix = f"optimizer/{name}/{index}/"
                found = {k.removeprefix(prefix): v for k, v in self._pending.items() if k.startswith(prefix)}
                if found:  # a fused step counter lives on the parameter's device, like the moments
                    optimizer.state[parameter] = {k: v.to(parameter.device) for k, v in found.items()}
        self._pending = {}

    def save(self, path: Path, model: Learner) -> None:
        """Write weights and state as one file, atomically."""
        tensors = {f"model/{k}": v for k, v in model.state_dict().items()}
        tensors |= {f"carried/{k}": v for k, v in model.named_buffers() if f"model/{k}" not in tensors}
        tensors |= {f"average/{k}": v for k, v in self.average.items()}
        if self.skipped is not None:
            tensors["skipped"] = self.skipped
        for name, optimizer in self.optimizers.items():
            for index, parameter in enumerate(optimizer.parameters):
                for key, value in optimizer.state.get(parameter, {}).items():
                    tensors[f"optimizer/{name}/{index}/{key}"] = value
        events = [asdict(event) for event in self.events]
        files.write_tensors(path, tensors, {"phase": self.phase, "step": self.step, "events": events})

    @classmethod
    def load(cls, path: Path, model: Learner) -> State:
        """The state in `path`; the model gets the weights that were saved with it."""
        tensors = files.read_tensors(path)
        note = files.read_note(path)
        own = {k.removeprefix("model/"): v for k, v in tensors.items() if k.startswith("model/")}
        checkpoint.load_weights(model, own, path)
        for name, tensor in tensors.items():
            if name.startswith("carried/"):  # not persistent: of any shape
                module, _, leaf = name.removeprefix("carried/").rpartition(".")
                setattr(model.get_submodule(module), leaf, tensor.to(model.device))
        state = cls()
        state.phase, state.step = note["phase"], note["step"]
        state.events = [Event(**{**e, "clock": Clock(**e["clock"])}) for e in note["events"]]
        state._pending = tensors if state.step else {}
        return state


def fit(
    model: Learner, loader: Loader, train: Train, *, key: tuple[object, ...], state: State | None = None
) -> Iterator[Event]:
    """Train `model` through its phases; yields an Event now and then, when `state` may be saved.

    Batch and noise of a step are functions of (key, phase, step): a training continued from a saved state ends with
    the same bits. A player's step with a non-finite loss or gradient is left out and counted.

    Raises:
        Diverged: no step since the last event was finite, and ten or more were not.
    """
    state = state or State()
    for index, phase in enumerate(model.phases):
        if index < state.phase:
            continue
        players = model.players()
        total = train.steps.get(phase, 0) if any(players.values()) else 0
        if state.step == 0:
            torch.manual_seed(derive_seed(*key, phase, "begin"))
            model.begin(phase, loader.split)
        model.train()
        state.open(model, train, players)
        yield from _phase(model, loader, train, Clock(phase, state.step, total), key, state)


def _phase(
    model: Learner, loader: Loader, train: Train, clock: Clock, key: tuple[object, ...], state: State
) -> Iterator[Event]:
    phase, total = clock.phase, clock.total
    every = max(1, math.ceil(total / EVENTS))
    sums: dict[str, list[Tensor]] = {}
    before, count = state.skipped.item() if state.skipped is not None else 0.0, 0
    for step in range(clock.step, total):
        torch.manual_seed(derive_seed(*key, phase, step))
        _step(model, loader.batch(phase, step), Clock(phase, step, total), train, state, sums)
        state.step, count = step + 1, count + 1
        if (step + 1) % every == 0 and step + 1 < total:
            yield _event(Clock(phase, step + 1, total), train, state, sums, count, before)
            sums, count, before = {}, 0, state.events[-1].skipped
    if train.ema and total:
        model.load_state_dict(state.average, strict=False)
    model.end(phase, loader.split)
    event = _event(Clock(phase, total, total), train, state, sums, count, before)
    state.phase, state.step, state.optimizers, state.average = state.phase + 1, 0, {}, {}
    yield event


def _step(
    model: Learner, batch: Batch, clock: Clock, train: Train, state: State, sums: dict[str, list[Tensor]]
) -> None:
    model.set_training(*state.optimizers)
    game = model.losses(batch, clock)
    while True:
        # Around each next(), never across a yield: the cache of cast weights would serve players that have moved.
        with torch.autocast(model.device.type, torch.bfloat16, enabled=train.precision == "bf16"):
            losses = next(game, None)
        if losses is None:
            break
        _differentiate(state, losses)
        for name, loss in losses.items():
            _move(state, name, loss, clock, train)
            sums.setdefault(name, []).append(loss.detach())
    if train.ema:
        decay = min(train.ema, (1 + clock.step) / (10 + clock.step))
        current = model.state_dict()
        average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        average(list(state.average.values()), [current[k] for k in state.average], None)


def _differentiate(state: State, losses: dict[str, Tensor]) -> None:
    """A player's gradient comes from its own loss alone, and all come before anyone moves."""
    for left, (name, loss) in enumerate(losses.items(), start=1 - len(losses)):
        optimizer = state.optimizers[name]
        optimizer.forget()
        torch.autograd.backward(loss, inputs=optimizer.parameters, retain_graph=left < 0)


def _move(state: State, name: str, loss: Tensor, clock: Clock, train: Train) -> None:
    optimizer = state.optimizers[name]
    norm = torch.nn.utils.get_total_norm(optimizer.gradients())
    bad = (~torch.isfinite(norm + loss.detach())).float()
    state.skipped = bad if state.skipped is None else state.skipped + bad
    scale = (norm / train.clip).clamp_min(1.0) if train.clip else None
    optimizer.step(rate(clock.step, clock.total, train, train.lr[name]), scale, bad)


def _event(clock: Clock, train: Train, state: State, sums: dict[str, list[Tensor]], count: int, before: float) -> Event:
    skipped = int(state.skipped.item()) if state.skipped is not None else 0
    if count and skipped - before >= count and skipped >= min(10, clock.total):
        raise Diverged(
            f"training diverged in phase {clock.phase} before step {clock.step}: {skipped} non-finite steps; "
            "lower train.lr or train.clip"
        )
    rates = (
        {name: rate(clock.step - 1, clock.total, train, train.lr[name]) for name in state.optimizers} if count else {}
    )
    losses = {name: torch.stack(values).float().mean().item() for name, values in sums.items()}
    event = Event(clock, {k: v for k, v in losses.items() if math.isfinite(v)}, rates, skipped)
    state.events.append(event)
    return event
