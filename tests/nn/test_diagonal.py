"""The Diagonal BiLSTM: skewing, its recurrence against a loop over positions, its gradient, and its scan."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from genfoundry.nn.autoregressive.diagonal_bilstm import BiLstmScan, DiagonalBiLstm, DiagonalLstm, Diagonals

SIZES = [(4, 6), (6, 3), (1, 5), (5, 1), (1, 1)]
BATCH, INPUTS, UNITS = 2, 3, 2


def arguments(size: tuple[int, int]) -> list[Tensor]:
    """Both maps, what the gates read of them, of the states, and their biases."""
    torch.manual_seed(0)
    cells, gates = size[0] * size[1], 4 * UNITS
    shapes = [(cells, BATCH, INPUTS)] * 2 + [(2, INPUTS, gates), (2, 2 * UNITS, gates), (2, 1, gates)]
    return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


def by_position(
    size: tuple[int, int], left: Tensor, right: Tensor, read: Tensor, weight: Tensor, bias: Tensor
) -> list[Tensor]:
    """The same states, one position after another, as the paper's equations have them (tanh of half the candidate)."""
    found = []
    for x, steps, r, w, b in ((left, 1, *_of(0, read, weight, bias)), (right, -1, *_of(1, read, weight, bias))):
        x, nothing = x.unflatten(0, size), x.new_zeros(BATCH, UNITS)
        h: dict[tuple[int, int], Tensor] = {}
        c: dict[tuple[int, int], Tensor] = {}
        for i in range(size[0]):
            for j in range(size[1])[::steps]:
                beside, above = (i, j - steps), (i - 1, j)
                state = torch.cat([h.get(beside, nothing), h.get(above, nothing)], 1)
                output, forget, write, candidate = (x[i, j] @ r + state @ w + b).chunk(4, 1)
                kept = forget.sigmoid() * c.get(beside, nothing)
                c[i, j] = kept + write.sigmoid() * torch.tanh(candidate / 2)
                h[i, j] = output.sigmoid() * c[i, j].tanh()
        found.append(torch.stack([h[i, j] for i in range(size[0]) for j in range(size[1])]))
    return found


def _of(direction: int, *weights: Tensor) -> list[Tensor]:
    return [weight[direction] for weight in weights]


@pytest.mark.parametrize("size", SIZES)
def test_skewing_puts_diagonals_together_and_is_undone(size: tuple[int, int]) -> None:
    diagonals, (height, width) = Diagonals(size), size
    place = torch.cartesian_prod(torch.arange(height), torch.arange(width))  # (H W, 2)
    skewed = diagonals.skew(place, place)
    assert all(torch.equal(part, place) for part in diagonals.unskew(skewed))
    assert len(diagonals.blocks) == height + width - 1
    for d, block in enumerate(diagonals.blocks):
        forth, mirrored = skewed[:, block]
        assert (forth.sum(1) == d).all()
        assert torch.equal(mirrored[:, 1], width - 1 - forth[:, 1])
        assert torch.equal(mirrored[:, 0], forth[:, 0])
        assert (forth[:, 0].diff() == 1).all()


@pytest.mark.parametrize("size", SIZES)
def test_the_scan_of_diagonals_is_the_recurrence_over_positions(size: tuple[int, int]) -> None:
    given = arguments(size)
    found, true = DiagonalLstm.apply(*given, Diagonals(size)), by_position(size, *given)
    slopes = [torch.randn_like(part) for part in true]
    for ours, theirs in zip(found, true, strict=True):
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-12)
    pairs = zip(torch.autograd.grad(found, given, slopes), torch.autograd.grad(true, given, slopes), strict=True)
    for ours, theirs in pairs:
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-12)


def test_its_gradient_is_that_of_finite_differences() -> None:
    given = arguments((3, 4))
    assert torch.autograd.gradcheck(lambda *values: DiagonalLstm.apply(*values, Diagonals((3, 4))), given)


@pytest.mark.parametrize("size", SIZES)
def test_a_layer_sees_every_earlier_position_and_no_later_one(size: tuple[int, int]) -> None:
    """x tells a position itself here; what the LSTM from the right reads is of the rows above alone."""
    torch.manual_seed(0)
    layer, cells = DiagonalBiLstm(INPUTS, UNITS).double(), size[0] * size[1]
    x = torch.randn(cells, 1, INPUTS, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda x: layer(x, x, Diagonals(size)), x)
    seen = jacobian.abs().sum((1, 2, 4, 5)) > 0
    assert torch.equal(seen, torch.ones(cells, cells, dtype=torch.bool).tril())


@pytest.mark.parametrize("size", SIZES)
@torch.no_grad()
def test_position_by_position_the_layers_give_what_they_do_at_once(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    layers = [DiagonalBiLstm(INPUTS, UNITS).double() for _ in range(3)]
    x = torch.randn(size[0] * size[1], BATCH, INPUTS, dtype=torch.float64)
    own = torch.randn_like(x)
    whole, told = x, x + own
    for layer in layers:
        whole = layer(whole, told, Diagonals(size))
        told = whole
    scan = BiLstmScan(layers, BATCH, size[1])
    for i, row in enumerate(x.unflatten(0, size)):
        for j, value in enumerate(row):
            assert torch.allclose(scan.step(value, j), whole.unflatten(0, size)[i, j], rtol=0, atol=1e-12)
        scan.end_row(own.unflatten(0, size)[i])
        scan.start_row()
