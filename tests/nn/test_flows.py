"""Patches and the blocks of autoregressive flows."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from genfoundry.nn.flows.patch_sequence import PatchSequence
from genfoundry.nn.flows.transformer_block import TransformerBlock
from genfoundry.nn.flows.triangular import TriangularMap
from genfoundry.types import Spec

TOKENS, FEATURES = 5, 3


def build(reverse: bool, classes: int = 3) -> TransformerBlock:
    """A block far from the identity, in float64."""
    torch.manual_seed(0)
    inside = torch.ones(TOKENS, FEATURES)
    block = TransformerBlock(inside, 8, 2, 2, classes=classes, reverse=reverse).double()
    with torch.no_grad():
        block.out.weight.normal_(std=0.3)
        block.out.bias.normal_(std=0.3)
    return block


def invert_naively(block: TransformerBlock, z: Tensor, label: Tensor) -> Tensor:
    """x of z, by a whole pass for each of two values of a patch: their images tell its shift and its scale."""
    x = torch.zeros_like(z)
    for i in reversed(range(TOKENS)) if block.reverse else range(TOKENS):
        x[:, i] = 1.0
        one = block(x, label)[0][:, i]
        x[:, i] = 0.0
        zero = block(x, label)[0][:, i]
        x[:, i] = (z[:, i] - zero) / (one - zero)
    return x


@pytest.mark.parametrize("reverse", [False, True])
@torch.no_grad()
def test_cached_inverse_equals_the_naive_one(reverse: bool) -> None:
    block, z, label = build(reverse), torch.randn(4, TOKENS, FEATURES, dtype=torch.float64), torch.tensor([0, 1, 2, 1])
    x = block.inverse(z, label)
    assert torch.allclose(x, invert_naively(block, z, label))
    assert torch.allclose(block(x, label)[0], z)
    assert not torch.allclose(x, block.inverse(z, label.roll(1)))


@pytest.mark.parametrize("reverse", [False, True])
def test_jacobian_is_triangular_in_the_order_of_the_block(reverse: bool) -> None:
    block, label = build(reverse), torch.tensor([1])
    x = torch.randn(1, TOKENS, FEATURES, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda v: block(v, label)[0][0], x)[:, :, 0]  # (M, F, M, F)
    matrix = jacobian.reshape(TOKENS * FEATURES, -1)
    if reverse:
        matrix = matrix.flip(0, 1)
    assert torch.equal(matrix.triu(1), torch.zeros_like(matrix))
    assert (jacobian.abs().amax((1, 3)) > 0).sum() == TOKENS * (TOKENS + 1) // 2, "a patch sees all before it"
    assert torch.allclose(matrix.diagonal().log().sum(), block(x, label)[1][0])
    assert torch.allclose(torch.linalg.slogdet(matrix)[1], block(x, label)[1][0])


@torch.no_grad()
def test_guidance_extrapolates_from_no_class() -> None:
    block, z = build(False), torch.randn(2, TOKENS, FEATURES, dtype=torch.float64)
    label, none = torch.tensor([0, 1]), torch.tensor([2, 2])
    (given, without) = (shift_and_log_scale(block, index) for index in (label, none))
    shift, log_scale = (c + 1.5 * (c - u) for c, u in zip(given, without, strict=True))
    first = block.inverse(z, label, guidance=1.5)[:, 0]
    assert torch.allclose(first, z[:, 0] * log_scale.exp() + shift)
    assert torch.allclose(block.inverse(z, none, guidance=1.5), block.inverse(z, none)), "nothing to move away from"


def shift_and_log_scale(block: TransformerBlock, label: Tensor) -> tuple[Tensor, Tensor]:
    """Of the first patch, from its images of 0 and 1."""
    x = torch.zeros(len(label), TOKENS, FEATURES, dtype=torch.float64)
    zero, one = block(x, label)[0][:, 0], block(x + 1, label)[0][:, 0]
    return -zero / (one - zero), -(one - zero).log()


def test_patches_are_squares_in_raster_order() -> None:
    patches = PatchSequence(Spec((1, 4, 4), None), 2)
    x = torch.arange(16.0).view(1, 1, 4, 4)
    assert patches.split(x)[0].tolist() == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]


@pytest.mark.parametrize(("shape", "patch"), [((3, 7, 9), 4), ((1, 5, 4), 2), ((2, 3, 3), 8)])
def test_patches_of_any_size_are_undone(shape: tuple[int, ...], patch: int) -> None:
    patches = PatchSequence(Spec(shape, None), patch)
    x = torch.randn(2, *shape)
    split = patches.split(x)
    assert split.shape == (2, patches.tokens, patches.features)
    assert torch.equal(patches.join(split), x)
    assert patches.inside.sum() == x[0].numel()
    assert torch.equal(split * patches.inside, split), "the padding is 0"


@torch.no_grad()
def test_linear_map_whitens_and_is_undone() -> None:
    torch.manual_seed(0)
    patches = PatchSequence(Spec((1, 3, 3), None), 2)  # 4 patches, of which 3 are padded
    x = patches.split((torch.randn(5000, 9) @ torch.randn(9, 9) + 1).view(-1, 1, 3, 3))
    linear = TriangularMap(patches.inside)
    assert torch.equal(linear(x)[0], x)
    linear.fit(x, ridge=0.0001, shrinkage=0.0)
    e, log_determinant = linear(x)
    values, white = (patches.join(part).flatten(1) for part in (x, e))
    assert torch.allclose(white.T.cov(), torch.eye(9), atol=0.02)
    assert torch.allclose(log_determinant, -0.5 * torch.logdet(values.T.cov()), atol=0.02)
    again = torch.zeros_like(x)
    for i in range(patches.tokens):
        again[:, i] = linear.invert_patch(e[:, i], again, i)
    assert torch.allclose(again, x, atol=1e-4)
