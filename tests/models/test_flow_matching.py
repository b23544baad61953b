"""Flow matching: exact where the data are Gaussian, guided where asked, and able to undo damage."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from tiny import SPECS, Loader, settings
from torch import Tensor

from genfoundry.models.flow_matching import FlowMatching
from genfoundry.nn.conv.corruption import LEVELS
from genfoundry.training.loop import fit
from genfoundry.types import Batch, Clock, Draw, Spec

GREY = SPECS["images"]["grey"]
REAL = SPECS["images"]["real"]


def build(spec: Spec = GREY, **hyper: Any) -> FlowMatching:
    torch.manual_seed(0)
    return FlowMatching(spec, FlowMatching.Config(**hyper)).eval()


def disturb(model: FlowMatching) -> FlowMatching:
    """Give every weight of the network a say, also those that start at 0."""
    torch.manual_seed(1)
    for p in model.network.parameters():
        torch.nn.init.normal_(p, std=0.3)
    return model


@pytest.fixture(scope="module")
def trained() -> FlowMatching:
    model = build(width=16, components=32)
    list(fit(model, Loader(GREY), settings(model, 300, batch=32), key=("flow",)))
    return model.eval()


def count_passes(model: FlowMatching, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    rows: list[int] = []
    original = model.network.forward

    def forward(x: Tensor, *rest: Tensor) -> Tensor:
        rows.append(len(x))
        return original(x, *rest)

    monkeypatch.setattr(model.network, "forward", forward)
    return rows


@pytest.mark.parametrize(
    ("solver", "guidance", "denoise", "passes"),
    [("euler", 1, True, 5), ("euler", 3, False, 10), ("heun", 1, False, 10), ("heun", 1, True, 9)],
)
def test_a_sample_takes_the_stated_passes(
    solver: str, guidance: float, denoise: bool, passes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build(solver=solver, steps=5, guidance=guidance, denoise=denoise)
    rows = count_passes(model, monkeypatch)
    model.sample(3)
    assert sum(rows) == 3 * passes and model.passes == passes


def test_gaussian_data_need_no_network_and_one_step() -> None:
    """With a network that adds nothing, samples and likelihood are those of the Gaussian fitted to the data."""
    torch.manual_seed(2)
    spec = Spec((1, 4, 4), None)
    mix = torch.randn(16, 16) / 4 + torch.eye(16)
    x = (torch.randn(8000, 16) @ mix.T + 3).view(-1, 1, 4, 4)
    model = build(spec, components=16, steps=1, denoise=False, density_steps=1)
    model.gaussian.fit(x.flatten(1))
    made = model.sample(8000).flatten(1)
    covariance = torch.cov(x.flatten(1).T)
    assert (torch.cov(made.T) - covariance).abs().max() < 0.15 * covariance.abs().max()
    exact = torch.distributions.MultivariateNormal(x.flatten(1).mean(0), covariance)
    nll = model.measure(Batch(x[:50]))["nll"]
    assert torch.allclose(nll, -exact.log_prob(x[:50].flatten(1)), rtol=0.01)


def test_the_likelihood_is_near_that_of_fine_steps_and_the_exact_trace(trained: FlowMatching) -> None:
    batch = Batch(Loader(GREY).batch("fit", 0).x[:4])
    values = {}
    for name, hyper in (("exact", {"trace": "exact", "density_steps": 16}), ("quick", {"probes": 40})):
        trained.config, before = trained.config.model_copy(update=hyper), trained.config
        torch.manual_seed(3)
        measured = trained.measure(batch)
        values[name], trained.config = float(measured["nll"].mean()), before
        assert ("probe_error" in measured) == (name == "quick")
    assert values["quick"] == pytest.approx(values["exact"], rel=0.03)
    assert values["exact"] < 0.8 * GREY.dims * math.log(17), "far below a uniform distribution"


def test_levels_cost_the_width_of_their_bins() -> None:
    """-log P(level) of a density that is constant over [-1, 1) is log(levels): one value a bin of width 2 / levels."""
    model = build(Spec((1, 4, 4), 8), components=0)
    batch = Batch(torch.randint(8, (6, 1, 4, 4)))
    real = build(Spec((1, 4, 4), None), components=0)
    torch.manual_seed(4)
    nll = model.measure(batch)["nll"]
    torch.manual_seed(4)
    x = (batch.x + torch.rand(batch.x.shape)) / 4 - 1
    assert torch.allclose(nll, real.measure(Batch(x))["nll"] + 16 * math.log(4), rtol=1e-4)


def test_guidance_of_one_is_the_conditional_model_and_more_goes_further() -> None:
    model = disturb(build())
    u, label = torch.randn(4, GREY.dims), torch.tensor([0, 1, 2, 0])
    with torch.no_grad():
        given, free = model._field(label)(u, 0.5), model._field(torch.full_like(label, GREY.classes))(u, 0.5)
        for guidance in (0.0, 1.0 + 1e-6, 2.5):  # of 1 itself there is one pass alone
            guided = model._field(label, guidance)(u, 0.5)
            assert torch.allclose(guided, free + guidance * (given - free), rtol=1e-3, atol=1e-3)
    assert not torch.allclose(given, free, rtol=0.1, atol=0.1)


@pytest.mark.parametrize(("drop", "classes"), [(0.0, {0, 1, 2}), (1.0, {3}), (0.5, {0, 1, 2, 3})])
def test_labels_are_dropped_at_the_given_share(drop: float, classes: set[int], monkeypatch: pytest.MonkeyPatch) -> None:
    model = build(drop=drop)
    seen: list[Tensor] = []
    original = model.network.forward
    monkeypatch.setattr(model.network, "forward", lambda x, t, y: (seen.append(y), original(x, t, y))[1])
    batch = Batch(torch.randint(17, (400, 1, 8, 8)), label=torch.arange(400) % 3)
    next(model.losses(batch, Clock("fit", 0, 1)))
    assert set(seen[0].tolist()) == classes
    assert float((seen[0] == 3).float().mean()) == pytest.approx(drop, abs=0.08)


def test_samples_follow_their_labels() -> None:
    """Class 0 is dark, class 1 is bright."""
    spec = Spec((1, 8, 8), 17, classes=2, class_counts=(32, 32))
    torch.manual_seed(0)
    label = torch.arange(64) % 2
    batch = Batch((torch.rand(64, 1, 8, 8) * 6).long() + 10 * label.view(-1, 1, 1, 1), label=label)

    class Fixed(Loader):
        def batch(self, phase: str, step: int) -> Batch:
            return batch

    model = build(spec, guidance=1.5)
    list(fit(model, Fixed(spec), settings(model, 150, batch=64), key=("labels",)))
    asked = torch.tensor([0, 1] * 20)
    bright = model.eval().sample(40, label=asked).float().mean((1, 2, 3)) > 8
    assert (bright == (asked == 1)).float().mean() > 0.95


def test_at_temperature_0_samples_are_alike(trained: FlowMatching) -> None:
    torch.manual_seed(0)
    cold, warm = (trained.sample(8, label=torch.zeros(8, dtype=torch.long), draw=Draw(t)) for t in (0.0, 1.0))
    assert (cold == cold[0]).all() and not (warm == warm[0]).all()


def test_back_to_noise_and_forth_returns_the_image(trained: FlowMatching) -> None:
    x = Loader(GREY).batch("fit", 7).x
    trained.config, before = trained.config.model_copy(update={"steps": 60}), trained.config
    again = trained.decode(trained.embed(Batch(x)))
    trained.config = before
    assert (again - x).abs().float().mean() < 0.1
    ends = trained.interpolate(*torch.randn(2, 5, GREY.dims), torch.tensor([[0.0]]))
    assert ends.shape == (5, GREY.dims)


def test_restorations_beat_the_damaged_images(trained: FlowMatching) -> None:
    x = Loader(GREY).batch("fit", 9).x.float()
    torch.manual_seed(5)
    noisy = x + LEVELS["gaussian"] * 16 * torch.randn_like(x)
    known = torch.rand_like(x) >= LEVELS["mask"]

    def error(values: Tensor) -> float:
        return float((values - x).square().mean())

    assert error(trained.restore(noisy)) < 0.1 * error(noisy)
    filled = trained.restore(x * known, known)
    assert torch.equal(filled[known], x[known])
    assert error(filled) < 0.1 * error(torch.where(known, x, x.mean()))


def test_completions_keep_what_is_known_and_differ_elsewhere(trained: FlowMatching) -> None:
    x = Loader(GREY).batch("fit", 11).x
    known = torch.zeros_like(x, dtype=torch.bool)
    known[:, :, :4] = True
    torch.manual_seed(6)
    first, second = (trained.complete(x * known, known) for _ in range(2))
    assert torch.equal(first[known], x[known]) and first.dtype == torch.int64
    assert not torch.equal(first, second)
    # A ramp goes on below: the shift of the upper half says where
    assert (first - x)[~known].abs().float().mean() < 0.5 * (x.roll(1, 0) - x)[~known].abs().float().mean() + 1


def test_optimal_pairs_are_nearer() -> None:
    model = build(REAL, pairing="optimal", components=0)
    torch.manual_seed(0)
    batch = Batch(torch.randn(64, 1, 8, 8) * 3)
    paired = next(model.losses(batch, Clock("fit", 0, 1)))["model"]
    independent = build(REAL, pairing="independent", components=0)
    torch.manual_seed(0)
    batch = Batch(torch.randn(64, 1, 8, 8) * 3)
    assert paired < next(independent.losses(batch, Clock("fit", 0, 1)))["model"]
