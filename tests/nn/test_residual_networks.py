from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from genfoundry.nn.adversarial.residual import Bilinear, ResidualBlock, ResidualCritic, ResidualGenerator, stage_sizes
from genfoundry.types import Spec

SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (1, 48, 48), (3, 7, 9), (1, 17, 30)]


@pytest.mark.parametrize("patch", [1, 2, 4])
@pytest.mark.parametrize("shape", SHAPES)
def test_any_size_there_and_back(shape: tuple[int, int, int], patch: int) -> None:
    torch.manual_seed(0)
    spec, build = Spec(shape, 256), {"width": 5, "blocks": 1, "group": 4, "patch": patch}
    x = ResidualGenerator(spec, 6, **build)(torch.randn(3, 6))
    assert x.shape == (3, *shape)
    assert x.abs().max() <= 1
    critic = ResidualCritic(spec, classes=2, **build)
    assert critic(x, torch.eye(2)[[0, 1, 0]]).shape == (3,)
    (gradient,) = torch.autograd.grad(critic(x).sum(), x)
    assert gradient.ne(0).flatten(1).any(1).all()


def test_stages_end_at_about_four() -> None:
    assert stage_sizes(Spec((1, 28, 28), 2), 1) == [(28, 28), (14, 14), (7, 7), (4, 4)]
    assert stage_sizes(Spec((1, 128, 128), 2), 2)[-1] == (4, 4)
    assert stage_sizes(Spec((1, 8, 8), 2), 2) == [(4, 4)]


@pytest.mark.parametrize(("before", "after"), [((8, 6), (4, 3)), ((7, 5), (4, 3)), ((4, 3), (7, 5)), ((4, 3), (8, 6))])
def test_bilinear_is_that_of_torch(before: tuple[int, int], after: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *before)
    expected = F.interpolate(x, after, mode="bilinear", antialias=True)
    resized = Bilinear(before, after)(x.contiguous(memory_format=torch.channels_last))
    assert torch.allclose(resized, expected, atol=1e-6)
    assert resized.is_contiguous(memory_format=torch.channels_last)


def test_a_new_network_is_shallow_and_keeps_its_scale() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 8, 5, 5)
    assert torch.equal(ResidualBlock(8, 4, blocks=6)(x), x)
    spec, build = Spec((3, 32, 32), 256), {"width": 16, "blocks": 2, "group": 16, "patch": 1}
    image = ResidualGenerator(spec, 64, **build)(torch.randn(64, 64))
    assert 0.3 < image.std() < 1
    assert 0.1 < ResidualCritic(spec, **build)(torch.randn(64, 3, 1, 1).expand(-1, -1, 32, 32)).std() < 3
