from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from tiny import settings
from torch import Tensor

from genfoundry.models.r3gan import R3gan
from genfoundry.nn.conv.dequantisation import dequantise
from genfoundry.training.loop import fit
from genfoundry.types import Batch, Clock, Spec

SPEC = Spec((1, 8, 8), 256, classes=3, class_counts=(4, 4, 4))


def build(**hyper: object) -> R3gan:
    torch.manual_seed(0)
    model = R3gan(SPEC, R3gan.Config(**hyper))  # type: ignore[arg-type]
    for p in model.parameters():  # what starts at 0 would hide what it multiplies
        torch.nn.init.normal_(p, std=0.2)
    return model


def slopes(scores: Tensor, x: Tensor) -> Tensor:
    return torch.autograd.grad(scores.sum(), x)[0].square().sum() / len(x)  # mean of the squared norms


@pytest.mark.parametrize("classes", [False, True])
@pytest.mark.parametrize(("step", "weight"), [(0, 0.6), (50, 0.6 * 0.55), (100, 0.06)])
def test_the_losses_are_the_papers(classes: bool, step: int, weight: float) -> None:
    """Equations 2 to 4, with each player's passes written out; gamma falls to a tenth."""
    model = build(gamma=0.6, classes=classes)
    batch = Batch(torch.randint(256, (6, 1, 8, 8)), label=torch.tensor([0, 1, 2, 0, 1, -1]))
    torch.manual_seed(1)
    game = model.losses(batch, Clock("fit", step, 100))
    losses = [next(game)["critic"], next(game)["generator"]]
    torch.manual_seed(1)
    real = dequantise(batch.x, 256).requires_grad_()
    label = F.one_hot(batch.label % 4, 4)[:, :3].float() if classes else None  # type: ignore[operator]
    z = torch.randn(6, 16)
    fake = model.generator(z if label is None else torch.cat([z, label], 1)).detach().requires_grad_()
    of_real, of_fake = model.critic(real, label), model.critic(fake, label)
    penalty = weight / 2 * (slopes(of_real, real) + slopes(of_fake, fake))
    expected = F.softplus(-(model.critic(real, label) - model.critic(fake, label))).mean() + penalty
    assert losses[0].item() == pytest.approx(expected.item(), rel=1e-4)
    assert losses[1].item() == pytest.approx(F.softplus(of_real - of_fake).mean().item(), rel=1e-4)
    assert model.diagnostics["critic_gap"].item() == pytest.approx((of_real - of_fake).mean().item(), abs=1e-4)


def test_a_batch_without_labels_trains_a_conditional_model_without_a_class() -> None:
    """As one whose labels are all -1, to the bit."""
    model, x, losses = build(classes=True), torch.randint(256, (6, 1, 8, 8)), []
    for batch in (Batch(x), Batch(x, label=torch.full((6,), -1))):
        torch.manual_seed(1)
        losses.append([loss.item() for part in model.losses(batch, Clock("fit", 0, 100)) for loss in part.values()])
    assert len(losses[0]) == 2
    assert losses[0] == losses[1]


def test_no_player_receives_the_others_gradient() -> None:
    model, batch = build(), Batch(torch.randint(256, (6, 1, 8, 8)))
    game = model.losses(batch, Clock("fit", 0, 1))
    next(game)["critic"].backward()
    assert all(p.grad is None for p in model.generator.parameters())
    assert all(p.grad is not None for p in model.critic.parameters())
    assert not any(value.requires_grad for value in model.diagnostics.values())
    model.zero_grad()
    loss, parameters = next(game)["generator"], list(model.generator.parameters())
    gradients = torch.autograd.grad(loss, parameters)
    with torch.no_grad():  # along its gradient the generator's scores rise, the critic's being what they are
        torch.manual_seed(2)
        z = torch.randn(64, 16)
        before = model.critic(model.generator(z)).mean()
        for p, gradient in zip(parameters, gradients, strict=True):
            p -= 1e-3 * gradient
        assert model.critic(model.generator(z)).mean() > before


def test_real_and_generated_images_are_augmented_alike_and_apart() -> None:
    model, seen = build(augment=("translation",)), []
    model.critic.register_forward_pre_hook(lambda _, x: seen.append(x[0].detach()))
    torch.nn.init.zeros_(model.generator.mix.weight)  # a generated image is grey everywhere, but for its bias
    list(model.losses(Batch(torch.full((32, 1, 8, 8), 255)), Clock("fit", 0, 1)))
    both, real, fake = seen
    assert [len(x) for x in seen] == [64, 32, 32]
    for x in (both[:32], both[32:], real, fake):
        assert 5 < len((x != 0).unique(dim=0)) <= 9  # by up to one row and one column
    assert not torch.equal(both[:32] != 0, both[32:] != 0)


def test_diversity_is_0_where_all_samples_are_alike() -> None:
    model, batch = build(), Batch(torch.randint(256, (6, 1, 8, 8)))
    next(model.losses(batch, Clock("fit", 0, 1)))
    assert model.diagnostics["diversity"] > 0
    torch.nn.init.zeros_(model.generator.mix.weight)
    next(model.losses(batch, Clock("fit", 0, 1)))
    assert model.diagnostics["diversity"] == 0


class Stripes:
    """Class 0, 1 or 2 is a bright band at the top, in the middle or at the bottom, with noise."""

    def __init__(self) -> None:
        self.split = None

    def batch(self, phase: str, step: int) -> Batch:
        torch.manual_seed(step)
        label = torch.randint(3, (16,))
        x = torch.randint(60, (16, 1, 8, 8))
        x[torch.arange(16)[:, None], :, 3 * label[:, None] + torch.arange(2)] += 180
        return Batch(x, label=label)


def test_conditional_samples_follow_their_label() -> None:
    torch.manual_seed(0)
    model = R3gan(SPEC, R3gan.Config(classes=True, patch=2))
    list(fit(model, Stripes(), settings(model, 150, lr={"critic": 5e-3, "generator": 5e-3}), key=("stripes",)))  # type: ignore[arg-type]
    label = torch.arange(3).repeat(40)
    bands = model.sample(120, label=label).float().mean((1, 3))[:, [0, 1, 3, 4, 6, 7]].view(120, 3, 2).mean(2)
    assert (bands.argmax(1) == label).float().mean() > 0.95
    drawn = model.sample(300).float().mean((1, 3))[:, [0, 3, 6]].argmax(1)
    assert drawn.bincount(minlength=3).min() > 60  # without labels, by their frequency
