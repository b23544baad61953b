from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from genfoundry.config import Train
from genfoundry.data.loaders import Loader
from genfoundry.data.splits.images import ImageSplit
from genfoundry.errors import UserError
from genfoundry.evaluation.card import explain_absent
from genfoundry.evaluation.metrics import completion
from genfoundry.models import checkpoint
from genfoundry.models.made import Made, ledoit_wolf
from genfoundry.nn.timeseries.var import fit_triangular
from genfoundry.training.loop import fit
from genfoundry.types import Batch, Clock, Spec

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
    each = torch.stack([model.ordering_nll(EVERY.flatten(1), m).neg().exp() for m in range(5)])
    assert mass.sum().item() == pytest.approx(1.0, abs=1e-9)
    assert torch.allclose(each.sum(1), torch.ones(5).double(), atol=1e-9)
    assert torch.allclose(mass, each.mean(0))
    logits = torch.stack([model(EVERY.flatten(1), m)[:, 0] for m in range(5)]).mean(0)
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
    scaled = model.scale_levels
    model.scale_levels = lambda x: scaled(x).abs()  # type: ignore[method-assign]
    for m, order in enumerate(model.orderings):
        jacobian = torch.autograd.functional.jacobian(lambda x, m=m: model(x, m)[0], x)[:, :, 0]
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
    alone = torch.stack([model.ordering_nll(every, m).neg().exp() for m in range(3)])
    assert (alone - mass).abs().max() > 12 / math.sqrt(n), "so that one ordering alone would not pass"


@torch.no_grad()
def test_a_mixture_over_orders_gives_no_conditional_of_one_of_them() -> None:
    """Enumerated: what the first order says of the lower half given the upper is not what the mixture says."""
    spec, x = Spec((1, 3, 3), 2), EVERY[300:301]
    model, alone = build(spec, orderings=3), build(spec)
    known = (torch.arange(3) < 1).view(1, 1, 3, 1).expand_as(x)
    same = (EVERY[:, :, :1] == x[:, :, :1]).flatten(1).all(1)

    def enumerated(nats: Callable[[Tensor], Tensor]) -> float:
        return float(nats(x)[0] + nats(EVERY[same]).neg().logsumexp(0))

    def mixture(x: Tensor) -> Tensor:
        return model.measure(Batch(x))["nll"]

    assert completion.missing_nats(alone, x, known).item() == pytest.approx(
        enumerated(lambda x: alone.measure(Batch(x))["nll"])
    )
    assert abs(enumerated(mixture) - enumerated(lambda x: model.ordering_nll(x.flatten(1), 0))) > 0.1
    assert alone.ordered and not model.ordered
    asked: list[Callable[[], object]] = [
        model.order, lambda: model.predict(Batch(x)),
        lambda: model.nll_per_value(Batch(x)), lambda: model.complete(x, known),
        lambda: completion.missing_nats(model, x, known),
    ]  # fmt: skip
    for ask in asked:
        with pytest.raises(UserError, match=r"^made: expected hyper.orderings: 1, .* no conditionals, got 3$"):
            ask()


def test_a_mixture_over_orders_is_examined_without_completions() -> None:
    torch.manual_seed(0)
    spec = Spec((1, 4, 4), 2)
    model = Made(spec, Made.Config(orderings=2)).eval()
    x = torch.randint(2, (8, 1, 4, 4))
    split: Any = SimpleNamespace(spec=spec, name="test", eval_batch=lambda index: Batch(x[index]), tensor=x)
    assert completion.complete(model, SimpleNamespace(split=split, train=split)) == {}  # type: ignore[arg-type]
    why = explain_absent({}, "images", model, None)
    assert {why[name] for name in ("complete_psnr", "complete_nats")} == {"a mixture over orders"}


def test_it_starts_at_the_best_linear_predictor() -> None:
    """Each regression on all columns before it, against `lstsq`; from there the model is better than its start at 0."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(400, 6, generator=draw, dtype=torch.float64).cumsum(1)
    const, weight, deviation = fit_triangular(x, ridge=0.0)
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
    data: Any = SimpleNamespace(positions=400, train_batch=lambda index: Batch(levels[index]))
    model.begin("fit", data)
    after = model.measure(Batch(levels))["nll"].mean()
    gauss = (deviation * 15).log().sum() + 6 * 0.5 * math.log(2 * math.pi * math.e)
    assert gauss - 0.5 < after.item() < gauss + 1.0 < before.item()


@pytest.mark.parametrize("items", [100, 300, 1000])
def test_few_images_are_modelled_better_than_pixels_on_their_own(items: int) -> None:
    """As `make init` writes it, for 30 epochs: of as many values as items a closed form knows all and predicts none."""
    spec = Spec((1, 8, 8), 256)
    x = clouds(items + 400, 8)
    train, test = x[:items], Batch(x[items:])
    counts = torch.ones(64, 256).scatter_add_(1, train.flatten(1).T, torch.ones(64, items))
    alone = -(counts / counts.sum(1, keepdim=True)).log().gather(1, test.x.flatten(1).T).sum(0).mean().item()
    sized = Made.suggest_settings(spec, items)
    torch.manual_seed(0)
    model = Made(spec, Made.Config(**sized["hyper"]))
    data = ImageSplit("train", {"x": train.to(torch.uint8), "label": torch.zeros(items)}, spec)
    batch = 16 if items < 300 else 64
    lr = sized.get("train", {}).get("lr", Made.defaults["lr"])
    how = Train(batch=batch, lr=lr, steps={"fit": 30 * math.ceil(items / batch)})
    found = []
    for event in fit(model, Loader(data, batch, ("k",)), how, key=("k",)):
        if event.clock.step in (1, 6, event.clock.total):
            with torch.no_grad():
                found.append(model.measure(test)["nll"].mean().item())
    assert found[-1] < alone - 10
    assert max(found) < 1.3 * alone, "its start"


def clouds(n: int, side: int) -> Tensor:
    """(n, 1, side, side) smooth images of levels 0..255."""
    draw = torch.Generator().manual_seed(0)
    x = F.interpolate(torch.randn(n, 1, 4, 4, generator=draw), (side, side), mode="bicubic")
    return (128 + 50 * x + 4 * torch.randn(n, 1, side, side, generator=draw)).round().clamp(0, 255).long()


def test_shrinkage_is_little_of_many_rows_and_much_of_few() -> None:
    """Of columns that depend on each other it vanishes with the rows; deviations are those of unseen rows."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(20_000, 60, generator=draw, dtype=torch.float64).cumsum(1)
    assert ledoit_wolf(x, ridge=0.0) < 0.001
    few, others = x[:50], x[1000:]
    for share, least, most in ((ledoit_wolf(few, ridge=1e-3), 0.5, 2.0), (0.0, 5.0, 1e9)):
        const, weight, deviation = fit_triangular(few, ridge=1e-3, shrinkage=share)
        error = (others - const - others @ weight.T) / deviation
        assert least < error.square().mean(0)[-10:].sqrt().mean() < most
    assert ledoit_wolf(torch.randn(30, 60, generator=draw, dtype=torch.float64), ridge=0.0) > 0.8
    _, weight, deviation = fit_triangular(few, ridge=0.0, shrinkage=1.0)
    assert not weight.any()
    assert torch.allclose(deviation, few.std(0, correction=0))


def test_what_it_cannot_model_is_said() -> None:
    with pytest.raises(UserError, match="levels"):
        Made(Spec((1, 3, 3), None), Made.Config())
    with pytest.raises(UserError, match="4,096"):
        Made.suggest_settings(Spec((3, 64, 64), 256), 100)


def test_few_units_see_little_unless_there_are_direct_connections() -> None:
    """Degrees are spread evenly from the first: with fewer units than values some pairs meet in no unit."""

    def reach(direct: bool) -> Tensor:
        model = build(hidden=2, direct=direct)
        x = EVERY[:1].flatten(1).double()
        return torch.autograd.functional.jacobian(lambda x: model(x, 0)[0, 0], x)[:, 0] != 0

    assert torch.equal(reach(True), torch.ones(9, 9).tril(-1) > 0)
    assert reach(False).sum() < 36
