from __future__ import annotations

import pytest
import torch
from tiny import Loader, settings

from genfoundry.models.wgan_gp import WganGp
from genfoundry.nn.conv.dequantisation import dequantise
from genfoundry.training.loop import fit
from genfoundry.types import Batch, Clock, Spec


def build(shape: tuple[int, int, int] = (1, 8, 8), **hyper: object) -> WganGp:
    torch.manual_seed(0)
    return WganGp(Spec(shape, 256), WganGp.Config(**hyper))  # type: ignore[arg-type]


@pytest.mark.parametrize("n_critic", [1, 3])
def test_the_generator_moves_at_every_n_th_step(n_critic: int) -> None:
    model, moved = build(n_critic=n_critic), []
    original = model.losses

    def watched(batch: Batch, clock: Clock):  # type: ignore[no-untyped-def]
        before = model.generator.project.weight.clone()
        yield from original(batch, clock)
        moved.append(not torch.equal(before, model.generator.project.weight))

    model.losses = watched  # type: ignore[method-assign]
    list(fit(model, Loader(model.spec), settings(model, 7), key=("n_critic",)))  # type: ignore[arg-type]
    assert moved == [step % n_critic == 0 for step in range(7)]


def test_the_critics_loss_is_the_papers() -> None:
    """Equation 3, with passes of their own; no gradient of it reaches the generator."""
    model, batch = build(penalty=7.0), Batch(torch.randint(256, (6, 1, 8, 8)))
    torch.manual_seed(1)
    loss = next(model.losses(batch, Clock("fit", 0, 10)))["critic"]
    torch.manual_seed(1)
    real = dequantise(batch.x, 256)
    model.generator.train()
    fake = model.generator(torch.randn(6, 16)).detach()
    share = torch.rand(6, 1, 1, 1)
    between = (share * real + (1 - share) * fake).requires_grad_()
    (slope,) = torch.autograd.grad(model.critic(between).sum(), between)
    penalty = (slope.flatten(1).norm(dim=1) - 1).square().mean()
    expected = model.critic(fake).mean() - model.critic(real).mean() + 7 * penalty
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)
    loss.backward()
    assert all(p.grad is None for p in model.generator.parameters())
    assert all(p.grad is not None for p in model.critic.parameters() if p.ndim > 1)


def test_the_critic_scores_each_item_on_its_own() -> None:
    model = build().train()
    x = torch.rand(5, 1, 8, 8)
    assert torch.allclose(model.critic(x)[:2], model.critic(x[:2]), atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 48, 48)])
def test_any_size(shape: tuple[int, int, int]) -> None:
    model = build(shape, width=2, critic_width=2)
    losses = {k: v for part in model.losses(Batch(torch.randint(256, (4, *shape))), Clock("fit", 0, 1))
              for k, v in part.items()}  # fmt: skip
    assert losses.keys() == {"critic", "generator"}
    assert model.eval().sample(2).shape == (2, *shape)
