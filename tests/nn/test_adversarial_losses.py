from __future__ import annotations

from math import exp, log

import pytest
import torch
from torch import Tensor

from genfoundry.nn.adversarial.losses import LOSSES, relativistic_critic, relativistic_generator

REAL, FAKE = torch.tensor([2.0, 0.0]), torch.tensor([-3.0, 0.5])


def softplus(x: float) -> float:
    return log(1 + exp(x))


EXPECTED = {  # by hand: the mean over two items of each kind
    "hinge": ((0 + 1) / 2 + (0 + 1.5) / 2, (3 - 0.5) / 2),
    "wasserstein": (-1.25 - 1.0, 1.25),
    "non_saturating": (
        (softplus(-2) + softplus(0) + softplus(-3) + softplus(0.5)) / 2,
        (softplus(3) + softplus(-0.5)) / 2,
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_hand_computed_values(name: str) -> None:
    critic, generator = EXPECTED[name]
    assert LOSSES[name].critic(REAL, FAKE).item() == pytest.approx(critic)
    assert LOSSES[name].generator(FAKE).item() == pytest.approx(generator)


def test_relativistic_losses_compare_pairs() -> None:
    """The differences real - fake are 5 and -0.5."""
    assert relativistic_critic(REAL, FAKE).item() == pytest.approx((softplus(-5) + softplus(0.5)) / 2)
    assert relativistic_generator(REAL, FAKE).item() == pytest.approx((softplus(5) + softplus(-0.5)) / 2)
    shifted = relativistic_critic(REAL + 100, FAKE + 100)
    assert shifted.item() == pytest.approx(relativistic_critic(REAL, FAKE).item())  # a common offset says nothing


@pytest.mark.parametrize("name", [*LOSSES, "relativistic"])
def test_the_players_pull_a_score_in_opposite_directions(name: str) -> None:
    def slope(loss: Tensor) -> float:
        return torch.autograd.grad(loss, score)[0].item()

    score, real = torch.tensor([0.3], requires_grad=True), torch.tensor([0.1])
    pairs = {"relativistic": (relativistic_critic(real, score), relativistic_generator(real, score))}
    pairs |= {key: (loss.critic(real, score), loss.generator(score)) for key, loss in LOSSES.items()}
    critic, generator = pairs[name]
    assert slope(critic) > 0 > slope(generator)
