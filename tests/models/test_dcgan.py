from __future__ import annotations

import pytest
import torch

from genfoundry.models.dcgan import Dcgan
from genfoundry.nn.conv.dequantisation import dequantise, quantise
from genfoundry.types import Batch, Clock, Spec


def build(levels: int | None) -> Dcgan:
    torch.manual_seed(0)
    return Dcgan(Spec((1, 8, 8), levels), Dcgan.Config())


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_levels_undo_dequantisation(levels: int) -> None:
    x = torch.randint(levels, (50, 1, 8, 8))
    value = dequantise(x, levels)
    assert value.min() >= -1
    assert value.max() < 1
    assert torch.equal(quantise(value, levels), x)
    assert value.unique().numel() > levels
    assert quantise(torch.tensor([-1.0, 1.0]), levels).tolist() == [0, levels - 1]


def test_every_layer_of_the_critic_has_norm_one() -> None:
    model, batch = build(256), Batch(torch.randint(256, (8, 1, 8, 8)))
    for _ in range(30):
        next(model.losses(batch, Clock("fit", 0, 1)))  # a power iteration each
    for layer in model.critic:
        if hasattr(layer, "weight"):
            assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1.0, abs=1e-2)


def test_the_critics_loss_sees_no_gradient_of_the_generator() -> None:
    model, batch = build(256), Batch(torch.randint(256, (8, 1, 8, 8)))
    next(model.losses(batch, Clock("fit", 0, 1)))["critic"].backward()
    assert all(p.grad is None for p in model.generator.parameters())
    assert all(p.grad is not None for p in model.critic.parameters())


def test_the_critic_sees_what_the_generator_makes_in_training_and_moves_nothing_of_it() -> None:
    """Fakes are normalised by their own batch, as in the generator's own step; its statistics move there alone."""
    model, batch = build(256), Batch(torch.randint(256, (32, 1, 8, 8)))
    with torch.no_grad():  # what is far from a new model's mean 0 and variance 1
        model.generator[0].weight.mul_(20)
    seen: list[torch.Tensor] = []
    model.critic.register_forward_pre_hook(lambda _, x: seen.append(x[0].detach()))
    before = {name: buffer.clone() for name, buffer in model.generator.named_buffers()}
    game = model.losses(batch, Clock("fit", 0, 1))
    torch.manual_seed(5)
    next(game)
    assert not any(m.training for m in model.generator.modules() if isinstance(m, torch.nn.BatchNorm2d))
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.generator.named_buffers())
    torch.manual_seed(5)
    model.set_training("generator")
    assert torch.equal(seen[0][32:], model.generator(model.prior(32)).detach())
    next(game)
    assert not all(torch.equal(buffer, before[name]) for name, buffer in model.generator.named_buffers())
