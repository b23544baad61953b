from __future__ import annotations

import pytest
import torch
from torch import Tensor

from genfoundry.nn.adversarial.penalties import gradient_penalty, squared_gradient_norm


def linear(weight: Tensor):  # type: ignore[no-untyped-def]
    return lambda x: (x * weight).flatten(1).sum(1)


@pytest.mark.parametrize("norm", [1.0, 3.0, 0.0])
def test_two_sided_penalty_of_a_linear_critic(norm: float) -> None:
    """(|w| - 1)^2 everywhere, and its gradient by w is 2 (|w| - 1) w / |w|."""
    torch.manual_seed(0)
    direction = torch.nn.functional.normalize(torch.randn(1, 2, 3, 3).flatten(), dim=0).view(1, 2, 3, 3)
    weight = (norm * direction).requires_grad_()
    penalty = gradient_penalty(linear(weight), torch.randn(5, 2, 3, 3), torch.randn(5, 2, 3, 3))
    assert penalty.shape == (5,)
    assert torch.allclose(penalty, torch.full((5,), (norm - 1) ** 2), atol=1e-6)
    (slope,) = torch.autograd.grad(penalty.mean(), weight)
    assert torch.allclose(slope, 2 * (norm - 1) * direction * (norm > 0), atol=1e-5)


def test_two_sided_penalty_is_taken_between_real_and_fake() -> None:
    """f(x) = |x|^2 / 2 has the gradient x: with real 1 and fake 3 it is uniform in [1, 3], E(x - 1)^2 = 4 / 3."""
    torch.manual_seed(0)
    n = 20_000
    penalty = gradient_penalty(lambda x: x.square().sum(1) / 2, torch.ones(n, 1), torch.full((n, 1), 3.0))
    assert 0 <= penalty.min() < 0.01
    assert 3.9 < penalty.max() <= 4.0001
    assert penalty.mean().item() == pytest.approx(4 / 3, abs=0.03)


def test_squared_gradient_norms_by_hand() -> None:
    x = torch.tensor([[1.0, 2.0], [0.0, -3.0]], requires_grad=True)
    weight = torch.tensor([[0.5, -2.0]], requires_grad=True)
    assert torch.allclose(squared_gradient_norm(linear(weight)(x), x), torch.tensor([4.25, 4.25]))  # |w|^2
    a = torch.tensor([[2.0, 1.0], [1.0, -1.0]], requires_grad=True)  # f(x) = x' A x / 2, whose gradient is A x
    penalty = squared_gradient_norm(((x @ a) * x).sum(1) / 2, x)
    assert torch.allclose(penalty, torch.tensor([4.0**2 + 1.0**2, 3.0**2 + 3.0**2]))
    (slope,) = torch.autograd.grad(penalty[1], a)  # of |S x|^2 by S = (A + A') / 2: 2 S x x', symmetrised
    expected = torch.outer(torch.tensor([-6.0, 6.0]), torch.tensor([0.0, -3.0]))
    assert torch.allclose(slope, (expected + expected.T) / 2)
