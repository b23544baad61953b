from __future__ import annotations

import pytest
import torch

from genfoundry.nn.conv.blocks import ResidualBlock, Upsample, downsample, halve_size, scale_levels
from genfoundry.types import Spec


def test_scaled() -> None:
    x = torch.arange(5).view(1, 1, 1, 5)
    assert scale_levels(x, Spec((1, 1, 5), 5)).flatten().tolist() == [-1.0, -0.5, 0.0, 0.5, 1.0]
    assert scale_levels(x, Spec((1, 1, 5), None)).flatten().tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("size", [(28, 28), (7, 9), (1, 2)])
def test_down_and_up_again(size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size)
    small = downsample(3, 4)(x)
    assert small.shape == (2, 4, *halve_size(size))
    assert Upsample(4, 5, size=size)(small).shape == (2, 5, *size)
    assert halve_size(size, 2) == halve_size(halve_size(size))


def test_a_new_block_is_the_identity() -> None:
    x = torch.randn(2, 3, 5, 5)
    assert torch.equal(ResidualBlock(3)(x), x)
