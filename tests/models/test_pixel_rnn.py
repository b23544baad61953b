"""What is PixelRnn's own: images wider than its convolution reaches, colour, and evaluation in pieces."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from genfoundry.models import pixel_rnn
from genfoundry.models.pixel_rnn import PixelRnn
from genfoundry.types import Batch, Spec


def build(spec: Spec, **hyper: int) -> PixelRnn:
    torch.manual_seed(0)
    model = PixelRnn(spec, PixelRnn.Config(width=3, **hyper))
    for parameter in model.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return model.double().eval()


def seen(model: PixelRnn) -> Tensor:
    """(dims, dims) bool, in the order of drawing: does the logit of a value (row) hang on another (column)?"""
    places, x = model.order(), torch.rand(4, *model.spec.shape, dtype=torch.float64)  # between levels is a derivative

    def summed(x: Tensor) -> Tensor:
        return model.predict(Batch(x))[..., 1].flatten(1)[:, places].sum(0)

    jacobian = torch.autograd.functional.jacobian(summed, x).abs().sum(1).flatten(1)  # (dims, dims)
    return jacobian[:, places] > 0


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("shape", [(1, 3, 8), (1, 6, 2), (1, 1, 5), (1, 5, 1), (3, 2, 5)])
def test_a_value_sees_every_earlier_one_however_far_and_no_later_one(shape: tuple[int, int, int], layers: int) -> None:
    found = seen(build(Spec(shape, 2), reach=1, layers=layers))
    assert torch.equal(found, torch.ones_like(found).tril(-1))


def test_what_the_lstm_from_the_right_is_told_is_what_it_needs() -> None:
    """Without it, as published, the last pixel of the row above is in a blind spot, and it alone."""
    model = build(Spec((1, 3, 8), 2), reach=1, layers=3)
    torch.nn.init.zeros_(model.own.weight)
    blind = torch.ones(24, 24).tril(-1).bool() ^ seen(model)
    assert blind.any()
    assert {(row // 8 - column // 8, column % 8) for row, column in blind.nonzero().tolist()} == {(1, 7)}


@torch.no_grad()
def test_mass_of_all_binary_colour_images_is_one() -> None:
    model = build(Spec((3, 1, 3), 2), layers=1)
    x = (torch.arange(512)[:, None] >> torch.arange(9)) & 1
    mass = model.measure(Batch(x.view(-1, 3, 1, 3)))["nll"].neg().exp()
    assert mass.sum().item() == pytest.approx(1.0, abs=1e-6)
    assert mass.max() > 3 * mass.min()


def test_evaluation_in_pieces_is_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build(Spec((1, 4, 5), 2), layers=2)
    batch = Batch(torch.randint(2, (7, 1, 4, 5)))
    whole = model.measure(batch)["nll"]
    monkeypatch.setattr(pixel_rnn, "CHUNK", 3)
    with torch.no_grad():
        assert torch.allclose(model.measure(batch)["nll"], whole, rtol=0, atol=1e-12)
