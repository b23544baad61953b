"""What the suites of all models do not ask: which head, classes switched off, unlabelled items, one vertical stack."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from genfoundry.models.abilities import Autoregressive, Completes
from genfoundry.models.pixel_cnn import PixelCnn
from genfoundry.nn.heads.base import Head
from genfoundry.nn.heads.logistic_mixture import LogisticMixture
from genfoundry.nn.heads.simple import Bernoulli, Categorical
from genfoundry.types import Batch, Clock, Spec

LABELLED = Spec((1, 4, 5), 2, classes=3, class_counts=(1, 2, 3))


def model(spec: Spec = LABELLED, **hyper: object) -> PixelCnn:
    torch.manual_seed(0)
    return PixelCnn(spec, PixelCnn.Config(**hyper)).double().eval()  # type: ignore[arg-type]


def images(spec: Spec, n: int) -> Tensor:
    assert spec.levels is not None
    return torch.randint(spec.levels, (n, *spec.shape), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("shape", "levels", "head"),
    [
        ((1, 4, 5), 2, Bernoulli(1)),
        ((3, 4, 5), 17, Categorical(1, 17)),
        ((1, 4, 5), 256, LogisticMixture(1, 256, 4)),
        ((3, 4, 5), 256, LogisticMixture(3, 256, 4)),
    ],
)
def test_the_head_follows_the_levels(shape: tuple[int, ...], levels: int, head: Head) -> None:
    assert model(Spec(shape, levels), mixtures=4).readout.head == head


@torch.no_grad()
@pytest.mark.parametrize("levels", [2, 17, 256])
def test_every_earlier_pixel_has_influence_over_all_channels(levels: int) -> None:
    """Five layers reach over the whole of a 4x5 picture: the first value may change the distribution of the last."""
    one = model(Spec((3, 4, 5), levels), layers=5)
    x = images(one.spec, 1)
    before = one.predict(Batch(x)).flatten(1, -2)[0]
    for place, position in enumerate(one.order().tolist()):
        other = x.clone()
        other.view(-1)[position] = (other.view(-1)[position] + levels // 2) % levels
        moved = (one.predict(Batch(other)).flatten(1, -2)[0] - before).abs().nan_to_num().amax(1)[one.order()]
        assert (moved[: place + 1] == 0).all()
        assert (moved[place + 1 :] > 0).all()


@torch.no_grad()
def test_classes_can_be_switched_off() -> None:
    one, x = model(classes=False), images(LABELLED, 4)
    assert not one.conditional
    assert not any("label" in name for name, _ in one.named_parameters())
    label = torch.tensor([0, 1, 2, -1])
    assert torch.equal(one.measure(Batch(x, label=label))["nll"], one.measure(Batch(x))["nll"])
    assert torch.equal(one.predict(Batch(x, label=label)), one.predict(Batch(x)))


def test_items_without_a_label_train_all_but_the_classes() -> None:
    one, x = model(), images(LABELLED, 4)
    for label in (None, torch.full((4,), -1)):
        one.zero_grad()
        next(one.losses(Batch(x, label=label), Clock("fit", 0, 1)))["model"].backward()
        for layer in one.stack.layers:
            assert layer.label is not None
            assert layer.label.weight.grad is not None
            assert (layer.label.weight.grad.abs().sum(1) > 0).tolist() == [False, False, False, True]


@torch.no_grad()
def test_the_sum_over_classes_computes_the_vertical_stack_once(monkeypatch: pytest.MonkeyPatch) -> None:
    one, calls = model(), []
    original = one.stack.run_vertical
    monkeypatch.setattr(one.stack, "run_vertical", lambda *a: calls.append(1) or original(*a))  # type: ignore[func-returns-value]
    one.measure(Batch(images(LABELLED, 2)))
    assert len(calls) == 1


def test_abilities() -> None:
    assert isinstance(model(), Autoregressive)
    assert isinstance(model(), Completes)
