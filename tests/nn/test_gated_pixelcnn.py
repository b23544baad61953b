"""The gated stacks: strictly causal, no blind spot, and the scan computes what the whole does."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from genfoundry.nn.autoregressive.gated_pixelcnn import GatedStack

H, W = 5, 6


def stack(layers: int = 3, reach: int = 1, **more: int) -> GatedStack:
    torch.manual_seed(0)
    return GatedStack(2, 4, layers, reach=reach, **more).double()


def influence(one: GatedStack, *more: Tensor) -> Tensor:
    """(H W, H W): how much the output at a position (row) hangs on the input at another (column)."""
    x = torch.randn(1, 2, H, W, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda x: one(x, *more), x)  # (1, width, H, W, 1, 2, H, W)
    return jacobian.abs().sum((0, 1, 4, 5)).view(H * W, H * W)


def reached(layers: int, reach: int) -> Tensor:
    """(H W, H W) bool: positions that the stacks can see, by counting steps.

    The vertical stack goes up and aside, first `reach + 1` far and at least one up, then `reach` a layer; the
    horizontal one takes its values, or goes left.
    """
    far = reach + 1
    above = {(-u, s) for u in range(1, far + 1) for s in range(-far, far + 1)}
    left = {(0, -s) for s in range(1, far + 1)}
    seen = above | left
    for _ in range(layers - 1):
        above = above | {(a - u, b + s) for a, b in above for u in range(reach + 1) for s in range(-reach, reach + 1)}
        seen = above | {(a, b - s) for a, b in seen for s in range(reach + 1)}
    found = torch.zeros(H, W, H, W, dtype=torch.bool)
    for i in range(H):
        for j in range(W):
            for a, b in seen:
                if i + a >= 0 and 0 <= j + b < W:
                    found[i, j, i + a, j + b] = True
    return found.view(H * W, H * W)


@pytest.mark.parametrize(("layers", "reach"), [(1, 1), (2, 1), (4, 1), (2, 2)])
def test_it_sees_what_is_before_and_all_of_that(layers: int, reach: int) -> None:
    seen = influence(stack(layers, reach)) > 0
    assert not seen.triu().any(), "a position knows itself or a later one"
    assert (seen == reached(layers, reach)).all()


def test_no_blind_spot() -> None:
    seen = influence(stack(5, 1)) > 0
    assert (seen == torch.ones_like(seen).tril(-1)).all(), "an earlier position has no influence"


def test_the_vertical_stack_sees_rows_above_alone() -> None:
    one = stack(4)
    x = torch.randn(1, 2, H, W, dtype=torch.float64)
    for number in range(4):
        jacobian = torch.autograd.functional.jacobian(lambda x, n=number: one.run_vertical(x)[n], x)
        seen = jacobian.abs().sum((0, 1, 4, 5)) > 0  # (H, W, H, W)
        for i in range(H):
            assert not seen[i, :, i:].any()
    assert all(seen[i, :, :i].all() for i in range(1, H))


@pytest.mark.parametrize(("size", "reach"), [((5, 6), 1), ((5, 6), 2), ((1, 3), 1), ((3, 1), 1)])
def test_the_scan_computes_what_the_whole_does(size: tuple[int, int], reach: int) -> None:
    one = stack(reach=reach, context=3, classes=2)
    x = torch.randn(4, 2, *size, dtype=torch.float64)
    context, label = torch.randn(4, 3, *size, dtype=torch.float64), torch.tensor([0, 1, 1, 0])
    whole, found = one(x, label, context), torch.zeros(4, 4, *size, dtype=torch.float64)

    def choose(features: Tensor, i: int, j: int) -> Tensor:
        found[:, :, i, j] = features
        return x[:, :, i, j]

    one.scan(4, size, choose, label, context)
    assert torch.allclose(found, whole)


def test_class_and_map_matter() -> None:
    one = stack(context=3, classes=2)
    x, context = torch.randn(1, 2, H, W, dtype=torch.float64), torch.randn(1, 3, H, W, dtype=torch.float64)
    first = one(x, torch.tensor([0]), context)
    assert ((one(x, torch.tensor([1]), context) - first).abs() > 0).all()
    assert ((one(x, torch.tensor([0]), context + 1) - first).abs() > 0).all()
