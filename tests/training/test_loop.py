"""The loop, on games small enough to work out by hand."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from genfoundry.config import Train
from genfoundry.models.base import Hyper, Learner
from genfoundry.training.loop import Diverged, State, fit, learning_rate
from genfoundry.types import Batch, Clock, Spec

SPEC = Spec((2,), None)


class Noise:
    """A loader of counted noise, as the real one is: a function of phase and step."""

    split: Any = None

    def batch(self, phase: str, step: int) -> Batch:
        return Batch(torch.randn(4, 2))


class Game(Learner):
    """Two players; `seen` notes what each saw of the other when its loss was computed."""

    defaults: ClassVar[dict[str, Any]] = {"lr": {"critic": 0.1, "generator": 0.1}}

    def __init__(self, spec: Spec = SPEC, config: Hyper | None = None) -> None:
        super().__init__(spec, config or Hyper())
        self.critic = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 1), nn.Tanh(), nn.Dropout(0.1))
        self.generator = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
        self.seen: list[Tensor] = []

    def players(self) -> dict[str, list[nn.Parameter]]:
        return {"critic": list(self.critic.parameters()), "generator": list(self.generator.parameters())}

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        self.seen.append(self.critic[1].weight.detach().clone())
        self.set_training("critic")
        yield {"critic": self.critic(self.generator(batch.x)).mean()}
        self.seen.append(self.critic[1].weight.detach().clone())
        self.set_training("generator")
        yield {"generator": -self.critic(self.generator(batch.x)).mean()}


class Joint(Game):
    """Both players in one dict: all losses are differentiated before anyone moves, each for its own player alone."""

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        out = self.critic[1](self.generator[0](batch.x)).mean()
        yield {"critic": out, "generator": -3 * out}


class Simple(Learner):
    """One weight vector w, loss w.x; `spoil` makes a step's loss non-finite."""

    def __init__(self, spoil: tuple[int, ...] = ()) -> None:
        super().__init__(SPEC, Hyper())
        self.w = nn.Parameter(torch.tensor([1.0, -1.0]))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.spoil = spoil

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        self.steps += 1
        scale = math.nan if clock.step in self.spoil else 1.0
        yield {"model": scale * (self.w * batch.x).sum() + self.w.square().sum()}


def settings(model: type[Learner] | Learner, steps: int, **more: Any) -> Train:
    return Train(lr=dict(model.defaults["lr"]), steps={"fit": steps}, **more)


def test_rate_is_the_closed_form() -> None:
    train = Train(warmup=0.1, final=0.2)
    assert learning_rate(0, 100, train, 1.0) == pytest.approx(0.1)
    assert learning_rate(9, 100, train, 1.0) == pytest.approx(1.0)
    assert learning_rate(55, 100, train, 1.0) == pytest.approx(0.2 + 0.8 * 0.5, abs=1e-12)
    assert learning_rate(99, 100, train, 2.0) == pytest.approx(2 * (0.2 + 0.4 * (1 + math.cos(math.pi * 89 / 90))))


def test_the_generator_sees_the_critic_that_has_moved() -> None:
    game = Game()
    list(fit(game, Noise(), settings(Game, 3), key=(1,)))
    for before, after in zip(game.seen[::2], game.seen[1::2], strict=True):
        assert not torch.equal(before, after)
    assert torch.equal(game.seen[1], game.seen[2])  # the generator's turn does not move the critic


def test_a_gradient_lands_on_its_own_player_alone() -> None:
    torch.manual_seed(0)
    game = Joint()
    first = {k: v.clone() for k, v in game.state_dict().items()}
    x = torch.randn(4, 2)
    out = game.critic[1](game.generator[0](x)).mean()
    critic = torch.autograd.grad(out, game.critic[1].weight, retain_graph=True)[0]
    generator = torch.autograd.grad(-3 * out, game.generator[0].weight)[0]

    class One(Noise):
        def batch(self, phase: str, step: int) -> Batch:
            return Batch(x)

    list(fit(game, One(), settings(Game, 1, clip=None), key=(1,)))
    # Adam's first step is lr * sign(gradient): both signs come from the weights before anyone moved
    moved = {k: v - first[k] for k, v in game.state_dict().items()}
    assert torch.allclose(moved["critic.1.weight"], -0.1 * critic.sign(), atol=1e-5)
    assert torch.allclose(moved["generator.0.weight"], -0.1 * generator.sign(), atol=1e-5)


def test_modules_of_players_that_do_not_move_are_in_evaluation_mode() -> None:
    game = Game()
    game.set_training("critic")
    assert game.critic.training
    assert game.critic[3].training  # a dropout has no parameters and follows its parent
    assert not any(m.training for m in game.generator.modules())
    statistics = game.generator[1].running_mean.clone()
    next(iter(game.losses(Batch(torch.randn(4, 2)), Clock("fit", 0, 1))))
    assert torch.equal(statistics, game.generator[1].running_mean)


def test_the_moving_average_becomes_the_weights() -> None:
    model, state, decay = Simple(), State(), 0.99
    expected = model.w.detach().clone()
    plain = Simple()
    weights = []

    class Watch(Noise):
        def batch(self, phase: str, step: int) -> Batch:
            weights.append(plain.w.detach().clone())
            return Batch(torch.ones(4, 2))

    list(fit(plain, Watch(), settings(Simple, 5), key=(1,)))
    weights = [*weights[1:], plain.w.detach().clone()]
    for t, w in enumerate(weights):
        d = min(decay, (1 + t) / (10 + t))
        expected = d * expected + (1 - d) * w
    plain = model
    list(fit(model, Watch(), settings(Simple, 5, ema=decay), key=(1,), state=state))
    assert torch.allclose(model.w, expected, atol=1e-6)
    assert model.steps == 5  # integer buffers are not averaged


def test_a_non_finite_step_is_left_out_and_counted() -> None:
    model = Simple(spoil=(2,))
    seen = []

    class Watch(Noise):
        def batch(self, phase: str, step: int) -> Batch:
            seen.append(model.w.detach().clone())
            return Batch(torch.ones(4, 2))

    events = list(fit(model, Watch(), settings(Simple, 5), key=(1,)))
    assert torch.equal(seen[2], seen[3])
    assert not torch.equal(seen[3], seen[4])
    assert torch.isfinite(model.w).all()
    assert events[-1].skipped == 1


def test_a_training_that_diverged_says_so() -> None:
    with pytest.raises(Diverged, match="diverged in phase fit"):
        list(fit(Simple(spoil=tuple(range(100))), Noise(), settings(Simple, 100), key=(1,)))


def test_clipping_bounds_the_gradient_not_the_direction() -> None:
    big = Simple()

    class Huge(Noise):
        def batch(self, phase: str, step: int) -> Batch:
            return Batch(torch.full((4, 2), 1e6))

    list(fit(big, Huge(), settings(Simple, 1, clip=1.0), key=(1,)))
    assert torch.isfinite(big.w).all()
    assert big.w.grad is not None
    assert big.w.grad.norm() == pytest.approx(1.0, rel=1e-4)


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_a_state_saved_at_any_event_continues_to_the_same_bits(tmp_path: Path, ema: float) -> None:
    train = settings(Game, 120, ema=ema, warmup=0.1)
    torch.manual_seed(5)
    whole = Game()
    start = {k: v.clone() for k, v in whole.state_dict().items()}
    events = list(fit(whole, Noise(), train, key=(7, "x")))
    for stop in (0, 11, len(events) - 2):
        half, state = Game(), State()
        half.load_state_dict(start)
        for index, _ in enumerate(fit(half, Noise(), train, key=(7, "x"), state=state)):
            if index == stop:
                state.save(tmp_path / "s.safetensors", half)
                break
        again = Game()
        state = State.load(tmp_path / "s.safetensors", again)
        torch.manual_seed(999)  # nothing may hang on the generator's state before
        list(fit(again, Noise(), train, key=(7, "x"), state=state))
        for name, tensor in whole.state_dict().items():
            assert torch.equal(tensor, again.state_dict()[name]), name
        assert state.events == events


class Carrying(Simple):
    """Its loss hangs on what it carries in a part of its own: a row more each step, as no finished model would."""

    def __init__(self) -> None:
        super().__init__()
        self.part = nn.Module()
        self.part.register_buffer("carried", torch.zeros(0, 2), persistent=False)

    def begin(self, phase: str, data: Any) -> None:
        self.part.carried = torch.zeros(0, 2)

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        self.part.carried = torch.cat([self.part.carried, batch.x[:1]])
        yield {"model": (self.w * self.part.carried).sum() + self.w.square().sum()}


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_what_is_carried_goes_on_in_any_shape_and_is_not_averaged(tmp_path: Path, ema: float) -> None:
    train = settings(Simple, 60, ema=ema)
    whole, half, again = Carrying(), Carrying(), Carrying()
    list(fit(whole, Noise(), train, key=(3,)))
    assert len(whole.part.carried) == 60
    state = State()
    for event in fit(half, Noise(), train, key=(3,), state=state):
        if event.clock.step >= 30:
            break
    state.save(tmp_path / "s.safetensors", half)
    assert set(state.average) == ({"w"} if ema else set())
    state = State.load(tmp_path / "s.safetensors", again)
    assert len(again.part.carried) == state.step
    list(fit(again, Noise(), train, key=(3,), state=state))
    assert torch.equal(again.w, whole.w)
    assert torch.equal(again.part.carried, whole.part.carried)
    assert again.state_dict().keys() == {"w", "steps"}


def test_bf16_computes_in_bf16_and_keeps_float32_weights() -> None:
    seen = []

    class Cast(Simple):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 1)

        def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
            out = self.layer(batch.x)
            seen.append(out.dtype)
            yield {"model": out.float().square().mean()}

    model = Cast()
    list(fit(model, Noise(), settings(Simple, 2, precision="bf16"), key=(1,)))
    assert set(seen) == {torch.bfloat16}
    assert model.layer.weight.dtype == torch.float32


class Diagnosed(Simple):
    """Writes a scalar at every step, and one at even steps alone."""

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        self.diagnostics["step"] = torch.tensor(float(clock.step))
        if clock.step % 2 == 0:
            self.diagnostics["even"] = torch.tensor(float(clock.step))
        yield from super().losses(batch, clock)


def test_norms_and_diagnostics_are_means_since_the_last_event() -> None:
    batches, norms = [], []

    class Watch(Noise):
        def batch(self, phase: str, step: int) -> Batch:
            batches.append(super().batch(phase, step).x)
            norms.append((batches[-1].sum(0) + 2 * model.w.detach()).norm().item())  # of d/dw (sum x.w + w.w)
            return Batch(batches[-1])

    model = Diagnosed()
    events = list(fit(model, Watch(), settings(Simple, 200, clip=0.1), key=(1,)))
    assert [event.health["step"] for event in events[:2]] == [1.5, 5.5]  # of steps 0 to 3, 4 to 7
    assert [event.health["even"] for event in events[:2]] == [1.0, 5.0]  # no step's value counts twice
    for i, event in enumerate(events):
        assert event.norms == {"model": pytest.approx(sum(norms[4 * i : 4 * i + 4]) / 4, rel=1e-4)}  # before clipping


def test_a_probe_joins_the_events_it_sees() -> None:
    events = list(
        fit(Diagnosed(), Noise(), settings(Simple, 100), key=(1,), probe=lambda model, clock: {"at": float(clock.step)})
    )
    assert [event.health["at"] for event in events] == [float(event.clock.step) for event in events]
