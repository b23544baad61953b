"""Priors over codes: they sum to 1, with classes and with a map, and what is drawn is what is measured."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from genfoundry.nn.latent.code_prior import CodePrior
from genfoundry.types import Draw, Spec

GRIDS = torch.tensor(list(itertools.product(range(3), repeat=4))).view(-1, 2, 2)  # all 81
CLASSES = Spec((1, 8, 8), 2, classes=2, class_counts=(30, 10))


def prior(spec: Spec | None = None, context: int = 0) -> CodePrior:
    """With sharp probabilities, so that a mistake shows."""
    torch.manual_seed(3)
    one = CodePrior(3, (2, 2), width=6, layers=2, spec=spec, context=context).double()
    with torch.no_grad():
        for p in one.parameters():
            p.mul_(2.5)
    return one


def test_it_sums_to_one() -> None:
    mass = (-prior().marginal_nll(GRIDS)).exp()
    assert mass.sum().item() == pytest.approx(1)
    assert mass.max() > 3 / 81


@pytest.mark.parametrize("label", [0, 1, -1])
def test_it_sums_to_one_given_a_class(label: int) -> None:
    one = prior(CLASSES)
    mass = (-one.nll(GRIDS, torch.full((81,), label))).exp()
    assert mass.sum().item() == pytest.approx(1)
    assert not torch.allclose(mass, (-one.nll(GRIDS, torch.full((81,), 0 if label else 1))).exp())


def test_it_sums_to_one_given_a_map() -> None:
    one = prior(context=2)
    for seed in range(3):
        context = torch.randn(1, 2, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        mass = (-one.nll(GRIDS, context=context.expand(81, -1, -1, -1))).exp()
        assert mass.sum().item() == pytest.approx(1)


def test_the_marginal_is_the_sum_over_classes() -> None:
    one = prior(CLASSES)
    one.count_labels(torch.tensor([0, 0, 1, -1, 0, -1, -1, -1]), 8, anew=True)
    assert one.seen.tolist() == [3, 1, 4]
    each = [(-one.nll(GRIDS, torch.full((81,), label))).exp() for label in (0, 1, -1)]
    wanted = 3 / 8 * each[0] + 1 / 8 * each[1] + 4 / 8 * each[2]
    assert torch.allclose((-one.marginal_nll(GRIDS)).exp(), wanted)
    one.count_labels(None, 8, anew=False)
    assert one.seen.tolist() == [3, 1, 12]


def test_a_class_that_was_never_seen_has_no_mass() -> None:
    one = prior(CLASSES)
    each = [(-one.nll(GRIDS, torch.full((81,), label))).exp() for label in (0, 1)]
    assert torch.allclose((-one.marginal_nll(GRIDS)).exp(), 0.75 * each[0] + 0.25 * each[1])


def frequencies(index: Tensor) -> Tensor:
    place = (index.flatten(1) * torch.tensor([27, 9, 3, 1])).sum(1)
    return torch.bincount(place, minlength=81) / len(index)


@pytest.mark.parametrize("label", [None, 0, 1])
def test_what_is_drawn_is_what_is_measured(label: int | None) -> None:
    one, n = prior(CLASSES), 40_000
    labels = None if label is None else torch.full((n,), label)
    torch.manual_seed(5)
    drawn = frequencies(one.sample(n, labels))
    nats = one.marginal_nll(GRIDS) if label is None else one.nll(GRIDS, torch.full((81,), label))
    mass = (-nats).exp().detach()
    error = (mass * (1 - mass) / n).sqrt()
    assert ((drawn - mass).abs() < 5 * error + 1e-4).all()


def test_what_is_drawn_follows_the_map() -> None:
    one, n = prior(context=2), 20_000
    context = torch.randn(2, 2, 2, 2, dtype=torch.float64)
    torch.manual_seed(5)
    for one_map in context:
        drawn = frequencies(one.sample(n, context=one_map.expand(n, -1, -1, -1)))
        mass = (-one.nll(GRIDS, context=one_map.expand(81, -1, -1, -1))).exp().detach()
        assert ((drawn - mass).abs() < 5 * (mass * (1 - mass) / n).sqrt() + 1e-4).all()


def test_temperature_zero_is_the_likeliest_code_each_time() -> None:
    one = prior()
    index = one.sample(3, draw=Draw(temperature=0.0))
    assert (index == index[0]).all()
