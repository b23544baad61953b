"""The importance-weighted bound on a linear Gaussian, where everything is known; reconstructions by formula."""

from __future__ import annotations

import math

import pytest
import torch
import toys
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal

from genfoundry.config import Bound
from genfoundry.evaluation.aggregate import aggregate
from genfoundry.evaluation.card import explain_absent
from genfoundry.evaluation.context import EvalContext
from genfoundry.evaluation.metrics import importance_weighted_bound, metrics_of, reconstruction
from genfoundry.models.base import GenerativeModel, Hyper
from genfoundry.types import Batch, Spec

D = 4  # values of x; one code


class Line(GenerativeModel):
    """x = w z + noise, all standard normal; an encoder that is right about the mean and too wide."""

    likelihood = "bound"
    width = 2.0

    def __init__(self, spec: Spec, config: Hyper) -> None:
        super().__init__(spec, config)
        self.w = torch.linspace(0.5, 2, D)

    def exact(self, x: Tensor) -> Tensor:
        return -MultivariateNormal(torch.zeros(D), torch.eye(D) + torch.outer(self.w, self.w)).log_prob(x)

    def weights(self, x: Tensor) -> Tensor:
        precision = 1 + self.w.square().sum()
        q = Normal(x @ self.w / precision, self.width / precision.sqrt())
        z = q.sample()
        given = Normal(z[:, None] * self.w, 1).log_prob(x).sum(1)
        return given + Normal(0.0, 1.0).log_prob(z) - q.log_prob(z)

    def elbo(self, x: Tensor) -> Tensor:
        """In closed form: exact, and the divergence of two normals of one mean."""
        return -self.exact(x) - (0.5 * (self.width**2 - 1) - math.log(self.width))

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        return {"nll": -self.elbo(batch.x)}

    def bound(self, batch: Batch, k: int) -> Tensor:
        return math.log(k) - torch.stack([self.weights(batch.x) for _ in range(k)]).logsumexp(0)


class Rows:
    """A split in memory."""

    name, spec = "test", Spec((D,), None)

    def __init__(self, x: Tensor) -> None:
        self.x, self.groups = x, torch.arange(len(x))

    def __len__(self) -> int:
        return len(self.x)

    def eval_batch(self, index: Tensor) -> Batch:
        return Batch(self.x[index])


def test_the_bound_falls_with_draws_to_what_is_exact() -> None:
    model = Line(Rows.spec, Hyper())
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(2000, 1, generator=draw) * model.w + torch.randn(2000, D, generator=draw)
    nll = model.measure(Batch(x))["nll"].double()
    found = {}
    for k in (1, 8, 1000):
        context = EvalContext(dataset=None, train=None, split=Rows(x), bound=Bound(k=k, items=1000))  # type: ignore[arg-type]
        outputs = {"nll": nll, **importance_weighted_bound.tighten(model, context)}
        scores = importance_weighted_bound.score_gap(outputs, context)
        assert scores["bound_gap"].shape == (1000,)
        found[k] = aggregate({"nll": nll.numpy(), **scores}, D, "images")["nats_per_sample_iw"]
    elbo, exact = float(nll.mean()), float(model.exact(x).mean())
    assert elbo - exact > 0.7
    assert found[1] == pytest.approx(elbo, abs=0.2)  # three standard errors
    assert found[8] < found[1] - 0.3
    assert found[1000] == pytest.approx(exact, abs=0.01)


def test_its_interval_is_that_of_all_items_and_bits_are_per_value() -> None:
    nll, gap = torch.linspace(90, 110, 500).double().numpy(), torch.full((20,), 2.0).double().numpy()
    found = aggregate({"nll": nll, "bound_gap": gap}, 10, "images")
    assert found["nats_per_sample_iw"] == pytest.approx(98)
    assert found["bits_per_dim_iw"] == pytest.approx(98 / 10 / math.log(2))
    assert found["nats_per_sample_iw_low"] < 98 < found["nats_per_sample_iw_high"]
    assert found["nats_per_sample_iw_high"] - 98 < 1  # the standard error of 500 items, not of 20
    assert "nats_per_char_iw" in aggregate({"nll": nll, "bound_gap": gap}, 10, "text")


class Shifts(GenerativeModel):
    """Reconstructs one grey level off."""

    likelihood = "none"

    def reconstruct(self, batch: Batch) -> Tensor:
        return batch.x.float() + torch.where(batch.x > 8, -1, 1)


def test_reconstructions_by_formula() -> None:
    context = toys.context()
    outputs = reconstruction.reconstruct(Shifts(toys.SPEC, Hyper()), context)
    found = reconstruction.score_reconstructions(outputs, context)
    assert found["reconstruct_psnr"] == pytest.approx(20 * math.log10(16))
    assert (found["reconstruct_ssim"] < 1).all()


def test_no_ability_no_score() -> None:
    mute = GenerativeModel(toys.SPEC, Hyper())
    seen = toys.examine_outputs({}, toys.context(toys.Reads(toys.SPEC, Hyper())))
    assert seen.scores == {} and seen.beside == {} and seen.plots == {}
    why = explain_absent({}, "images", mute, None)
    assert set(why) == {metric.name for metric in metrics_of("images")} and all(why.values())
