from __future__ import annotations

import itertools
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from genfoundry import checkpoint
from genfoundry.models.made import Made
from genfoundry.nn.autoregression import triangular_least_squares
from genfoundry.types import Batch, Clock, Spec, UserError

SPEC = Spec((1, 3, 3), 2)
EVERY = torch.tensor(list(itertools.product((0, 1), repeat=9))).view(512, 1, 3, 3)


def build(spec: Spec = SPEC, **hyper: Any) -> Made:
    torch.manual_seed(3)
    model = Made(spec, Made.Config(**hyper)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    return model.eval()


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("direct", [True, False])
@torch.no_grad()
def test_the_ensemble_has_mass_one_and_is_the_mean_of_its_orderings(layers: int, direct: bool) -> None:
    model = build(layers=layers, direct=direct, orderings=5)
    mass = model.measure(Batch(EVERY))["nll"].neg().exp()
    each = torch.stack([model.nll(EVERY.flatten(1), m).neg().exp() for m in range(5)])
    assert mass.sum().item() == pytest.approx(1.0, abs=1e-9)
    assert torch.allclose(each.sum(1), torch.ones(5).double(), atol=1e-9)
    assert torch.allclose(mass, each.mean(0))
    logits = torch.stack([model.parameters_of(EVERY.flatten(1), m)[:, 0] for m in range(5)]).mean(0)
    wrong = torch.where(EVERY.flatten(1) == 1, logits, -logits).sigmoid().prod(1)
    assert abs(wrong.sum().item() - 1.0) > 1e-3, "the mean of logits is no distribution, and this would show it"


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("spec", [SPEC, Spec((3, 2, 2), 256)], ids=["binary", "colour"])
def test_every_ordering_is_strictly_causal_and_complete(layers: int, spec: Spec) -> None:
    """The Jacobian of all parameters of a value in the other values, by gradients, in the order of drawing."""
    model, dims = build(spec, layers=layers, orderings=4, hidden=40), spec.dims
    with torch.no_grad():
        for parameter in model.hidden.parameters():  # type: ignore[attr-defined]
            parameter.abs_()  # no unit is off, so that what is connected shows
    x = torch.rand(1, dims, dtype=torch.float64)
    scaled = model.scaled
    model.scaled = lambda x: scaled(x).abs()  # type: ignore[method-assign]
    for m, order in enumerate(model.orderings):
        jacobian = torch.autograd.functional.jacobian(lambda x, m=m: model.parameters_of(x, m)[0], x)[:, :, 0]
        reach = jacobian.abs().sum(0)[order][:, order]
        assert torch.equal(reach > 0, torch.ones(dims, dims).tril(-1) > 0)


def test_masks_leave_weights_and_their_gradients_where_they_are() -> None:
    model = build(orderings=2)
    before = {name: p.clone() for name, p in model.named_parameters()}
    for step in (0, 1):
        next(model.losses(Batch(EVERY[:32]), Clock("fit", step, 2)))["model"].backward()
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    assert model.direct.grad is not None
    assert not model.direct.grad.diagonal().any(), "a value never learns from itself"
    assert model.direct.grad.triu(1).any(), "the second ordering uses what the raster's leaves out"
    alone = build(orderings=1)
    next(alone.losses(Batch(EVERY[:32]), Clock("fit", 1, 2)))["model"].backward()
    assert alone.direct.grad is not None
    assert not alone.direct.grad.triu().any()


def test_orderings_are_counted_and_travel_with_the_weights(tmp_path: Any) -> None:
    torch.manual_seed(1)
    first = Made(SPEC, Made.Config(orderings=3))
    torch.manual_seed(2)
    second = Made(SPEC, Made.Config(orderings=3))
    assert torch.equal(first.orderings, second.orderings)
    assert first.orderings[0].tolist() == list(range(9))
    assert len({tuple(o) for o in first.orderings.tolist()}) == 3
    assert "orderings" in first.state_dict()
    checkpoint.save(tmp_path / "made", first, {})
    loaded = checkpoint.load(tmp_path / "made")
    assert torch.equal(loaded.orderings, first.orderings)  # type: ignore[arg-type]
    colour = Made(Spec((3, 2, 1), 5), Made.Config())
    assert colour.orderings[0].tolist() == [0, 2, 4, 1, 3, 5], "row by row, the channels of a pixel together"


@torch.no_grad()
def test_samples_of_an_ensemble_follow_its_mass() -> None:
    spec = Spec((1, 2, 2), 2)
    model, n = build(spec, orderings=3), 40_000
    every = torch.tensor(list(itertools.product((0, 1), repeat=4)))
    mass = model.measure(Batch(every.view(16, 1, 2, 2)))["nll"].neg().exp()
    torch.manual_seed(0)
    drawn = model.sample(n).flatten(1) @ torch.tensor([8, 4, 2, 1])
    assert (torch.bincount(drawn, minlength=16) / n - mass).abs().max() < 4 / math.sqrt(n)
    alone = torch.stack([model.nll(every, m).neg().exp() for m in range(3)])
    assert (alone - mass).abs().max() > 12 / math.sqrt(n), "so that one ordering alone would not pass"


def test_it_starts_at_the_best_linear_predictor() -> None:
    """Each regression on all columns before it, against `lstsq`; from there the model is better than its start at 0."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(400, 6, generator=draw, dtype=torch.float64).cumsum(1)
    const, weight, deviation = triangular_least_squares(x, ridge=0.0)
    for i in range(6):
        design = torch.cat([torch.ones(400, 1), x[:, :i]], 1)
        fit = torch.linalg.lstsq(design, x[:, i : i + 1]).solution[:, 0]
        assert torch.allclose(torch.cat([const[i : i + 1], weight[i, :i]]), fit)
        assert deviation[i].item() == pytest.approx((x[:, i] - design @ fit).square().mean().sqrt().item())
    assert not weight.triu().any()
    spec = Spec((1, 2, 3), 256)
    levels = (128 + 15 * x).round().clamp(0, 255).long().view(400, 1, 2, 3)
    torch.manual_seed(0)
    model = Made(spec, Made.Config())
    before = model.measure(Batch(levels))["nll"].mean()
    data: Any = SimpleNamespace(positions=400, crop=lambda index: Batch(levels[index]))
    model.begin("fit", data)
    after = model.measure(Batch(levels))["nll"].mean()
    gauss = (deviation * 15).log().sum() + 6 * 0.5 * math.log(2 * math.pi * math.e)
    assert gauss - 0.5 < after.item() < gauss + 1.0 < before.item()


def test_what_it_cannot_model_is_said() -> None:
    with pytest.raises(UserError, match="levels"):
        Made(Spec((1, 3, 3), None), Made.Config())
    with pytest.raises(UserError, match="4,096"):
        Made.sized(Spec((3, 64, 64), 256), 100)


def test_few_units_see_little_unless_there_are_direct_connections() -> None:
    """Degrees are spread evenly from the first: with fewer units than values some pairs meet in no unit."""

    def reach(direct: bool) -> Tensor:
        model = build(hidden=2, direct=direct)
        x = EVERY[:1].flatten(1).double()
        return torch.autograd.functional.jacobian(lambda x: model.parameters_of(x, 0)[0, 0], x)[:, 0] != 0

    assert torch.equal(reach(True), torch.ones(9, 9).tril(-1) > 0)
    assert reach(False).sum() < 36
