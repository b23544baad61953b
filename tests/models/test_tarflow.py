from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from tiny import Loader, settings
from torch import Tensor
from torch.distributions import Normal

from genfoundry.models.tarflow import Tarflow
from genfoundry.training.loop import fit
from genfoundry.types import Batch, Spec

ODD = Spec((3, 7, 9), 6, classes=2, class_counts=(6, 6))


def build(spec: Spec, spread: float = 0.3, **hyper: Any) -> Tarflow:
    """A model whose weights were moved off the identity, in float64."""
    torch.manual_seed(0)
    model = Tarflow(spec, Tarflow.Config(**hyper)).double()
    with torch.no_grad():
        for p in model.parameters():
            p += spread * torch.randn_like(p)
    return model


def make_grid(points: int, low: float, high: float) -> tuple[Tensor, float]:
    """Images (points^2, 1, 1, 2) at the middles of the cells of a square, and the area of a cell."""
    step = (high - low) / points
    middles = low + step * (torch.arange(points, dtype=torch.float64) + 0.5)
    return torch.cartesian_prod(middles, middles).view(-1, 1, 1, 2), step * step


@pytest.mark.parametrize("blocks", [1, 3])
@torch.no_grad()
def test_density_integrates_to_one(blocks: int) -> None:
    """Over two patches and two classes."""
    spec = Spec((1, 1, 2), None, classes=2, class_counts=(1, 3))
    model = build(spec, patch=1, blocks=blocks, width=8)
    x, area = make_grid(160, -12.0, 12.0)
    density = (-measure(model, x)).exp()
    assert density.sum().item() * area == pytest.approx(1.0, abs=1e-3)
    normal = Normal(0.0, 1.0).log_prob(x).flatten(1).sum(1).exp()
    assert (density - normal).abs().max() > 0.05, "not the prior's"


def measure(model: Tarflow, x: Tensor) -> Tensor:
    """Nats of float64 values, with log p(x) = log sum_y p(y) p(x | y)."""
    terms = [
        math.log(share) + model.log_density(x, torch.full((len(x),), y))
        for y, share in enumerate(model.spec.class_shares)
    ]
    return -torch.stack(terms).logsumexp(0)


@torch.no_grad()
def test_figure_bounds_the_likelihood_of_levels() -> None:
    """-log P(levels) by quadrature over their bins is below the mean figure."""
    levels = 4
    model = build(Spec((1, 1, 2), levels), 0.15, patch=1, width=8).float()
    x, area = make_grid(40 * levels, -1.0, 1.0)
    x = x.float()
    # (levels, 40, levels, 40) cells -> (levels^2,) probabilities of both values' levels
    mass = model.log_density(x).exp().view(levels, 40, levels, 40).sum((1, 3)).flatten() * area
    assert mass.sum() <= 1.0
    every = Batch(torch.cartesian_prod(torch.arange(levels), torch.arange(levels)).view(-1, 1, 1, 2))
    figures = torch.stack([model.measure(every)["nll"] for _ in range(400)])  # (draws, levels^2)
    gap = figures.mean(0) + mass.log()
    assert (gap > -4 * figures.std(0) / math.sqrt(len(figures))).all()
    assert gap.mean() > 0.01
    assert torch.allclose(model.bound(every, 400), -mass.log(), atol=0.2), "many draws close the gap"


@torch.no_grad()
def test_untrained_density_is_the_priors() -> None:
    model = Tarflow(Spec((3, 7, 9), None), Tarflow.Config())
    x = torch.randn(4, 3, 7, 9)
    expected = -Normal(0.0, 1.0).log_prob(x).flatten(1).sum(1)
    assert torch.allclose(model.measure(Batch(x))["nll"], expected)
    levels = Tarflow(Spec((1, 8, 8), 16), Tarflow.Config())
    torch.manual_seed(0)
    nll = levels.measure(Batch(torch.full((500, 1, 8, 8), 15)))["nll"].mean() / 64
    # -E log N(u) - log(2 / 16) for u uniform in [0.875, 1)
    assert nll.item() == pytest.approx(0.5 * math.log(2 * math.pi) + 0.5 * 0.88021 + math.log(8), abs=1e-3)


def test_log_determinant_is_that_of_autograd() -> None:
    """With a linear map, patches that do not tile the image, and several blocks."""
    model, label = build(ODD, 0.1, patch=4, blocks=3), torch.tensor([1])
    model.begin("fit", Loader(ODD).split)
    x = torch.randn(1, *ODD.shape, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda v: model(v, label)[0], x).view(ODD.dims, ODD.dims)
    assert torch.allclose(torch.linalg.slogdet(jacobian)[1], model(x, label)[1])


@pytest.mark.parametrize("patch", [2, 4])
@torch.no_grad()
def test_inverse_inverts(patch: int) -> None:
    """In float32, of a trained model with and without a class."""
    model = train(ODD, 60, patch=patch)
    batch = Loader(ODD).batch("fit", 0)
    assert (model.decode(model.embed(batch)) == batch.x).all()
    far = model.decode(1e30 * model.prior(8))  # overflows
    assert 0 <= far.min() <= far.max() < 6
    x = 2 * torch.rand(8, *ODD.shape) - 1
    for label in (batch.label, None):
        assert torch.allclose(model.inverse(model(x, label)[0], label), x, atol=1e-4)


@torch.enable_grad()  # type: ignore[untyped-decorator]
def train(spec: Spec, steps: int, loader: Any = None, **hyper: Any) -> Tarflow:
    torch.manual_seed(0)
    model = Tarflow(spec, Tarflow.Config(**hyper))
    list(fit(model, loader or Loader(spec), settings(model, steps), key=("tarflow",)))
    return model.eval()


class Halves(Loader):
    """Class 0 is bright in the upper half, class 1 in the lower."""

    def values(self, n: int, draw: torch.Generator) -> Tensor:
        x = torch.randint(0, 4, (n, *self.spec.shape), generator=draw)
        x[::2, :, :4] += 12
        x[1::2, :, 4:] += 12
        return x

    def batch(self, phase: str, step: int) -> Batch:
        return Batch(super().batch(phase, step).x, label=torch.arange(8) % 2)


@torch.no_grad()
def test_samples_follow_the_class() -> None:
    spec = Spec((1, 8, 8), 16, classes=2, class_counts=(1, 3))
    model = train(spec, 150, Halves(spec), patch=4, guidance=0.5)
    label = torch.tensor([0, 1] * 32)
    torch.manual_seed(1)
    assert (is_lower_brighter(model.sample(64, label=label)) == label).float().mean() > 0.95
    assert is_lower_brighter(model.sample(400)).float().mean().item() == pytest.approx(0.75, abs=0.08)
    assert model.passes == 2 * 4, "guided"


def is_lower_brighter(x: Tensor) -> Tensor:
    upper, lower = x.float().chunk(2, 2)
    return (lower.mean((1, 2, 3)) > upper.mean((1, 2, 3))).long()
