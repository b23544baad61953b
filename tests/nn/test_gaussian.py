from __future__ import annotations

import pytest
import torch
from torch.distributions import Normal as Reference
from torch.distributions import kl_divergence as reference_kl

from genfoundry.nn.latent.gaussian import MAX_MEAN, MIN_LOG_STD, Normal, apply_free_bits, kl_divergence, kl_weight
from genfoundry.types import Clock


def test_divergence_is_the_closed_form() -> None:
    torch.manual_seed(0)
    q, p = (Normal.from_output(torch.randn(5, 8, 3, 3)) for _ in range(2))
    reference = reference_kl(Reference(q.mean, q.scale.exp()), Reference(p.mean, p.scale.exp()))
    assert torch.allclose(kl_divergence(q, p), reference, atol=1e-5)
    assert kl_divergence(q, q).abs().max() < 1e-6


def test_draws_have_the_moments() -> None:
    torch.manual_seed(0)
    drawn = Normal(torch.full((100_000,), 2.0), torch.full((100_000,), 0.5)).sample()
    assert drawn.mean().item() == pytest.approx(2.0, abs=0.02)
    assert drawn.std().item() == pytest.approx(1.6487, abs=0.02)


def test_free_bits() -> None:
    kl = torch.tensor([[0.0, 2.0], [0.2, 4.0]])
    assert apply_free_bits(kl, 0.0).item() == pytest.approx(3.1)
    assert apply_free_bits(kl, 1.0).item() == pytest.approx(3.0 + 0.693147, abs=1e-6)


def test_annealing() -> None:
    assert [kl_weight(Clock("fit", step, 100), 0.1) for step in (0, 4, 9, 50)] == [0.1, 0.5, 1.0, 1.0]
    assert kl_weight(Clock("fit", 0, 100), 0.0) == 1.0


def test_one_strange_item_cannot_outweigh_all_others() -> None:
    """A trained net gave one test item of 10,000 a log deviation of 5: 15,662 nats, 1.6 on the mean of all.

    At 1, wider than the prior, its draws lay where nothing was ever decoded: 5,032 nats, in another training 113,406.
    """
    code = Normal.from_output(torch.tensor([[0.0, 5.0]]))
    assert code.scale.item() == 0.0
    assert kl_divergence(code, Normal.standard(code.mean)).item() == 0
    far = Normal.from_output(1e6 * torch.tensor([[1.0, -1.0, 1.0, -1.0]]))
    assert far.mean.abs().max() <= MAX_MEAN
    assert kl_divergence(far, Normal.standard(far.mean)).max() <= MAX_MEAN**2 / 2 - MIN_LOG_STD


def test_ordinary_means_are_hardly_bounded() -> None:
    mean = Normal.from_output(torch.tensor([[0.5, 2.0, 0.0, 0.0]])).mean
    assert torch.allclose(mean, torch.tensor([[0.5, 2.0]]), rtol=0.025)
