"""The pixel network of video: what it reads of the past, and that its parts are what their papers say."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from genfoundry.errors import UserError
from genfoundry.models.video_pixel import VideoPixel
from genfoundry.nn.heads import cell as heads_cell
from genfoundry.nn.sequence.conv_lstm import ConvLstm
from genfoundry.types import Batch, Spec


def model(spec: Spec) -> VideoPixel:
    torch.manual_seed(4)
    one = VideoPixel(spec, VideoPixel.Config())
    with torch.no_grad():
        for parameter in one.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return one.double().eval()


def videos(n: int, spec: Spec) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    assert spec.cond_shape is not None and spec.levels is not None
    return tuple(torch.randint(spec.levels, (n, *shape), generator=draw) for shape in (spec.shape, spec.cond_shape))  # type: ignore[return-value]


@torch.no_grad()
def test_every_value_depends_on_every_pixel_of_the_past() -> None:
    spec = Spec((2, 1, 4, 5), 2, cond_shape=(3, 1, 4, 5), cond_levels=2)
    one, (x, cond) = model(spec), videos(1, spec)
    before = one.predict(Batch(x, cond=cond))
    flips = cond.expand(60, *cond.shape[1:]).clone()
    flips.view(60, 60).diagonal().sub_(1).abs_()
    after = one.predict(Batch(x.expand(60, *x.shape[1:]), cond=flips))
    assert (after != before).any(-1).all()
    frame = x.expand(20, *x.shape[1:]).clone()
    frame[:, 0].view(20, 20).diagonal().sub_(1).abs_()
    after = one.predict(Batch(frame, cond=cond.expand(20, *cond.shape[1:])))
    assert (after[:, 1] != before[:, 1]).any(-1).all(), "a frame depends on all of the one before it"


@torch.no_grad()
def test_without_a_past_it_is_black() -> None:
    spec = Spec((2, 1, 4, 4), 2, cond_shape=(3, 1, 4, 4), cond_levels=2)
    one, (x, cond) = model(spec), videos(3, spec)
    assert torch.equal(one.predict(Batch(x)), one.predict(Batch(x, cond=torch.zeros_like(cond))))
    assert not torch.allclose(one.predict(Batch(x)), one.predict(Batch(x, cond=cond)))
    alone = model(Spec((2, 1, 4, 4), 2))
    assert alone.measure(Batch(x))["nll"].shape == (3,) and alone.sample(2).shape == (2, 2, 1, 4, 4)


def test_too_many_levels_are_refused() -> None:
    for levels in (None, 1000):
        with pytest.raises(UserError, match="expected 2 to 256 levels"):
            VideoPixel(Spec((2, 1, 4, 4), levels), VideoPixel.Config())


@torch.no_grad()
def test_the_convolutional_lstm_is_its_equations_and_goes_on_from_a_state() -> None:
    torch.manual_seed(0)
    one = ConvLstm(2, 3).double()
    x = torch.randn(2, 4, 2, 5, 4, dtype=torch.float64)
    found, (hidden, cell) = one(x, one.rest(2, (5, 4)))
    h, c = one.rest(2, (5, 4))
    for t in range(4):
        i, f, o, g = (one.driven(x[:, t]) + one.carried(h)).chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        assert torch.allclose(found[:, t], h)
    assert torch.allclose(hidden, h) and torch.allclose(cell, c)
    first, state = one(x[:, :1], one.rest(2, (5, 4)))
    rest, _ = one(x[:, 1:], state)
    assert torch.allclose(torch.cat([first, rest], 1), found)
    assert one.driven.bias[3:6].tolist() == [1.0] * 3


@pytest.mark.parametrize("shape", [(1, 4, 6), (3, 5, 3), (2, 1, 1)])
def test_cells_hold_every_pixel_once(shape: tuple[int, int, int]) -> None:
    x = torch.randn(2, *shape)
    assert torch.equal(heads_cell.unfolded(heads_cell.folded(x), shape[1:]), x)
    order = heads_cell.order(shape)
    assert order.sort().values.tolist() == list(range(len(order))) and len(order) == x[0].numel()
    rows = order % (shape[1] * shape[2]) // shape[2] // heads_cell.SIDE
    assert (rows.diff() >= 0).all(), "a row of cells before the next"


def test_a_value_of_a_cell_knows_those_before_it() -> None:
    torch.manual_seed(0)
    head = heads_cell.CellHead(3, 4, 5, hidden=6).double()
    torch.nn.init.normal_(head.before)
    features, x = torch.randn(1, 3, 1, 2, dtype=torch.float64), torch.randn(1, 4, 1, 2, dtype=torch.float64)
    assert torch.allclose(head(features, x).exp().sum(-1), torch.ones(1, 4, 1, 2, dtype=torch.float64))
    jacobian = torch.autograd.functional.jacobian(lambda x: head(features, x), x)  # (1, 4, 1, 2, 5, 1, 4, 1, 2)
    seen = jacobian.abs().sum((0, 2, 4, 5, 7))  # (4, 2, 4, 2)
    for a in range(2):
        assert ((seen[:, a, :, a] > 0) == torch.ones(4, 4).tril(-1).bool()).all()
        assert not seen[:, a, :, 1 - a].any()
