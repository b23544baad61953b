"""The share of classes that a generator reaches while it trains: right, and without a trace in the training."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import toys
from torch import Tensor, nn

from genfoundry.config import Train
from genfoundry.evaluation.class_share import PROBES, SAMPLES, ClassShare, count_expected
from genfoundry.models.base import GenerativeModel, Hyper
from genfoundry.training.loop import State, fit
from genfoundry.types import Batch, Clock, Draw

KEY = ("class share",)


class Draws(GenerativeModel):
    """Draws the first `reached` classes; draws with random numbers, and counts them in a buffer, as a model may."""

    reached = 3

    def __init__(self) -> None:
        super().__init__(toys.SPEC, Hyper())
        self.net = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 1))
        self.register_buffer("drawn", torch.zeros(()))

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        yield {"model": self.net(torch.randn(8, 4)).square().mean()}

    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        self.drawn += self.net(torch.randn(n, 4)).abs().sum()
        x = torch.zeros(n, 1, 8, 8, dtype=torch.long)
        x[torch.arange(n), 0, torch.randint(self.reached, (n,))] = 16
        return x


class Loader:
    split: Any = None

    def batch(self, phase: str, step: int) -> Batch:
        return Batch(torch.zeros(8, 1, 8, 8, dtype=torch.long))


def trained(probe: Any, state: State | None = None, reached: int = 3) -> tuple[Draws, list[float | None]]:
    torch.manual_seed(0)
    model, state = Draws(), state or State()
    model.reached = reached
    train = Train(lr={"model": 0.01}, steps={"fit": 120})
    list(fit(model, Loader(), train, key=KEY, state=state, probe=probe))  # type: ignore[arg-type]
    return model, [event.health.get("class_share") for event in state.events]


@pytest.fixture
def probe() -> ClassShare:
    return ClassShare(toys.Reads(toys.SPEC, Hyper()).eval(), KEY)


@pytest.mark.parametrize("reached", [1, 2, 3])
def test_the_share_is_that_of_the_classes_drawn(reached: int, probe: ClassShare) -> None:
    shares = [share for share in trained(probe, reached=reached)[1] if share is not None]
    assert len(shares) == PROBES
    assert shares == pytest.approx([reached / 3] * PROBES, abs=1e-6)


def test_a_training_that_is_looked_at_ends_with_the_same_bits(probe: ClassShare) -> None:
    plain, looked_at = trained(None)[0].state_dict(), trained(probe)[0].state_dict()
    assert all(torch.equal(plain[name], looked_at[name]) for name in plain)


def test_an_event_has_its_draws_whoever_sees_it(probe: ClassShare) -> None:
    """After a kill, or in another order: noise and due events are functions of the clock."""
    model, shares = trained(probe, reached=2)
    model.train()
    again = {step: probe(model, Clock("fit", step, 120)) for step in (120, 60, 12)}
    assert [again[step].get("class_share") for step in (12, 60, 120)] == [shares[3], shares[19], shares[-1]]
    assert model.training and all(module.training for module in model.modules())


def test_as_many_classes_as_real_items_reach() -> None:
    assert count_expected((0.5, 0.5), 1) == 1
    assert count_expected((0.5, 0.5, 0.0), 2) == 1.5
    assert count_expected((1 / 1000,) * 1000, SAMPLES) == pytest.approx(1000 * (1 - math.exp(-0.128)), rel=1e-3)
