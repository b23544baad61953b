from __future__ import annotations

import math

import pytest
import torch

from genfoundry.nn.heads import logistic_mixture
from genfoundry.nn.heads.base import Head
from genfoundry.nn.heads.categorical_sampling import sample_categorical
from genfoundry.nn.heads.logistic_mixture import LogisticMixture
from genfoundry.nn.heads.simple import Bernoulli, Categorical, Gaussian, head_for
from genfoundry.types import Draw, Spec


def every_level(levels: int, channels: int) -> torch.Tensor:
    """(levels ** channels, channels, 1, 1)."""
    grid = torch.cartesian_prod(*[torch.arange(levels)] * channels).reshape(-1, channels)
    return grid[:, :, None, None]


@pytest.mark.parametrize(
    "head",
    [
        Bernoulli(1),
        Bernoulli(2),
        Categorical(2, 5),
        LogisticMixture(1, 2, 3),
        LogisticMixture(1, 256, 5),
        LogisticMixture(2, 17, 3),
        LogisticMixture(3, 6, 2),
    ],
)
@pytest.mark.parametrize("spread", [0.1, 3.0, 30.0])
def test_mass_sums_to_one(head: Head, spread: float) -> None:
    assert head.levels is not None
    x = every_level(head.levels, head.channels)
    for seed in range(5):
        torch.manual_seed(seed)
        out = (spread * torch.randn(1, head.parameters, 1, 1)).expand(len(x), -1, -1, -1)
        assert math.isclose(head.nll(out, x).neg().double().exp().sum().item(), 1.0, abs_tol=2e-5)


@pytest.mark.parametrize("x", [0, 255])
def test_edges_own_the_tails(x: int) -> None:
    head = LogisticMixture(1, 256, 1)
    out = torch.tensor([0.0, 40.0 if x else -40.0, 0.0]).view(1, 3, 1, 1)
    assert head.nll(out, torch.tensor([[[[x]]]])).item() == pytest.approx(0.0, abs=1e-6)


def test_far_tail_is_finite_and_exact() -> None:
    head = LogisticMixture(1, 256, 1)
    out = torch.tensor([0.0, -3.0, -6.0]).view(1, 3, 1, 1).requires_grad_()
    nll = head.nll(out, torch.tensor([[[[200]]]]))
    nll.sum().backward()
    v, s = 2 * 200 / 255 - 1, math.exp(6.0)
    a, b = (v + 1 / 255 + 3) * s, (v - 1 / 255 + 3) * s
    exact = b - math.log1p(-math.exp(b - a))  # F(a) - F(b) is exp(-b) - exp(-a) out here
    assert nll.item() == pytest.approx(exact, rel=1e-5)
    assert out.grad is not None
    assert out.grad.isfinite().all()
    assert out.grad.abs().max() > 0


@pytest.mark.parametrize(
    "head", [Bernoulli(2), Categorical(2, 4), LogisticMixture(1, 256, 3), LogisticMixture(3, 17, 2), Gaussian(2)]
)
@pytest.mark.parametrize("size", [20.0, 86.0, 100.0, 1e4])
def test_whatever_a_network_says_its_nats_and_gradients_are_finite(head: Head, size: float) -> None:
    """A step of a non-finite gradient is left out, and one output value would stop the training for good."""
    torch.manual_seed(0)
    signs = torch.randint(2, (64, head.parameters, 1, 1)) * 2.0 - 1.0
    out = (size * signs).requires_grad_()
    x = torch.randint(head.levels or 3, (64, head.channels, 1, 1))
    nll = head.nll(out, x)
    nll.sum().backward()
    assert nll.isfinite().all()
    assert out.grad is not None
    assert out.grad.isfinite().all()
    assert head.mean(out.detach()).isfinite().all()
    assert head.sample(out.detach()).isfinite().all()


@pytest.mark.parametrize("head", [Bernoulli(2), Categorical(2, 4), LogisticMixture(1, 9, 3), LogisticMixture(2, 5, 2)])
def test_samples_follow_the_mass(head: Head) -> None:
    assert head.levels is not None
    torch.manual_seed(1)
    row, n = torch.randn(1, head.parameters, 1, 1), 200_000
    x = every_level(head.levels, head.channels)
    mass = head.nll(row.expand(len(x), -1, -1, -1), x).neg().exp()
    drawn = head.sample(row.expand(n, -1, -1, -1)).flatten(1)
    base = head.levels ** torch.arange(head.channels - 1, -1, -1)
    seen = torch.bincount((drawn * base).sum(1), minlength=len(x)) / n
    assert (seen - mass).abs().max() < 5 / math.sqrt(n)
    first = (mass[:, None] * x.flatten(1)).sum(0)[0]
    assert head.mean(row).flatten()[0].item() == pytest.approx(first.item(), abs=1e-4)


@pytest.mark.parametrize("edges", [1, 2, 16, 255])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_expected_level_is_the_sum_over_all_edges(edges: int, dtype: torch.dtype) -> None:
    """Means in and far out of the range, scales from a tenth of a level to thousands of ranges."""
    torch.manual_seed(0)
    mean = edges * (3 * torch.rand(20_000, dtype=torch.float64) - 1)
    scale = torch.exp(torch.rand_like(mean) * 16 - 2.3)
    whole = sum(torch.sigmoid((mean - e - 0.5) / scale) for e in range(edges))
    found = logistic_mixture.expected_level(mean.to(dtype), scale.to(dtype), edges)
    assert isinstance(whole, torch.Tensor)
    assert (found - whole).abs().max() < (2e-5 if dtype == torch.float64 else 2e-6 * (edges + 15))


def test_gaussian_density_integrates_to_one() -> None:
    head, grid = Gaussian(1), torch.linspace(-20, 20, 40_001).view(-1, 1, 1, 1)
    out = torch.tensor([0.7, 0.3]).view(1, 2, 1, 1).expand(len(grid), -1, -1, -1)
    mass = torch.trapezoid(head.nll(out, grid).neg().exp(), grid.flatten())
    assert mass.item() == pytest.approx(1.0, abs=1e-5)
    assert head.nll(out[:1], torch.full((1, 1, 1, 1), 0.7)).item() == pytest.approx(0.3 + 0.5 * math.log(2 * math.pi))


def test_temperature_zero_is_the_mode() -> None:
    out = torch.tensor([0.1, 3.0, 0.2]).view(1, 3, 1, 1)
    assert Categorical(1, 3).sample(out, Draw(temperature=0.0)).item() == 1


def test_float32_under_autocast() -> None:
    head = LogisticMixture(1, 256, 2)
    out, x = torch.randn(2, head.parameters, 3, 3), torch.randint(256, (2, 1, 3, 3))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(head.nll(out, x), head.nll(out.float(), x))
        assert head.nll(out.bfloat16(), x).dtype == torch.float32


def test_head_by_spec() -> None:
    assert head_for(Spec((3, 4, 4), None)) == Gaussian(3)
    assert head_for(Spec((1, 4, 4), 2)) == Bernoulli(1)
    assert head_for(Spec((1, 4, 4), 17), 3) == LogisticMixture(1, 17, 3)


@pytest.mark.parametrize(
    "head", [Bernoulli(3), Categorical(3, 5), LogisticMixture(3, 5, 2), LogisticMixture(1, 256, 3)]
)
@pytest.mark.parametrize("size", [1.0, 30.0])
def test_every_level_has_its_mass_and_values_make_the_whole(head: Head, size: float) -> None:
    """`size` 30: scales so narrow, and means so far off, that a difference of two logistic functions would be 0."""
    torch.manual_seed(0)
    out = size * torch.randn(4, head.parameters, 2, 3, dtype=torch.float64)
    x = torch.randint(head.levels or 0, (4, head.channels, 2, 3))
    scores = head.log_probs(out, x)
    assert scores.shape == (4, head.channels, 2, 3, head.levels)
    assert torch.allclose(scores.logsumexp(-1), torch.zeros(()).double(), atol=1e-9)
    assert torch.isfinite(scores).all()
    nats = head.nll_per_value(out, x)
    assert torch.allclose(scores.gather(-1, x.unsqueeze(-1))[..., 0], -nats, rtol=1e-9, atol=1e-9)
    assert torch.allclose(nats.flatten(1).sum(1), head.nll(out, x))
    moved = head.log_probs(out, torch.cat([x[:, :1], (x[:, 1:] + 1) % head.levels], 1))
    assert torch.equal(moved[:, :2], scores[:, :2]), "a channel knows itself, or one that comes after it"


@pytest.mark.parametrize("levels", [2, 3, 5, 16, 17, 18, 255, 256])
@pytest.mark.parametrize("size", [0.3, 3.0, 30.0])
@pytest.mark.parametrize("channels", [1, 3])
def test_levels_that_are_sought_are_those_of_the_whole_table(levels: int, size: float, channels: int) -> None:
    head = LogisticMixture(channels, levels, 3)
    torch.manual_seed(0)
    out = size * torch.randn(500, head.parameters, 2, 3, dtype=torch.float64)
    x = torch.randint(levels, (500, channels, 2, 3))
    for channel in range(channels):
        torch.manual_seed(1)
        sought = head.sample_channel(out, x, channel, Draw())
        torch.manual_seed(1)
        assert torch.equal(sought, sample_categorical(head.channel_log_probs(out, x, channel)))
    assert sought.unique().tolist() == list(range(levels)) or levels > 18 or size > 1


@pytest.mark.parametrize("levels", [2, 5, 256])
def test_the_gradient_of_a_levels_mass_is_that_of_its_definition(levels: int) -> None:
    head = LogisticMixture(1, levels, 2)
    torch.manual_seed(0)
    centre, scale = torch.randn(2, 40, 2, dtype=torch.float64)
    value = head.scale_levels(torch.arange(40) * (levels - 1) // 39, centre)
    assert torch.autograd.gradcheck(
        lambda c, s: head.log_mass(value, c, s), (centre.requires_grad_(), scale.requires_grad_())
    )
    half = 1 / (levels - 1)
    above, below = ((value + side * half)[:, None] for side in (1, -1))
    above, below = above.masked_fill(above > 1, torch.inf), below.masked_fill(below < -1, -torch.inf)
    mass = torch.sigmoid((above - centre) * (-scale).exp()) - torch.sigmoid((below - centre) * (-scale).exp())
    assert torch.allclose(head.log_mass(value, centre, scale).exp(), mass)
