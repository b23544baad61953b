from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny import Loader, settings
from torch import Tensor

from genfoundry.models.dcgan import LAZY, Dcgan
from genfoundry.nn.conv.dequantisation import dequantise, quantise
from genfoundry.training.loop import fit
from genfoundry.types import Batch, Clock, Spec

CLOCK = Clock("fit", 0, 1)
TOY = Spec((1, 8, 8), 16, classes=3, class_counts=(4, 4, 4))


def build(spec: Spec = TOY, **hyper: Any) -> Dcgan:
    torch.manual_seed(0)
    return Dcgan(spec, Dcgan.Config(**hyper))


def toy_batch(n: int = 32) -> Batch:
    """A bright column of pixels, whose place is the class, on dark noise."""
    label = torch.randint(3, (n,))
    x = torch.randint(4, (n, 1, 8, 8))
    for k in range(3):
        x[label == k, :, :, 3 * k : 3 * k + 2] += 11
    return Batch(x, label=label)


class Toy(Loader):
    def batch(self, phase: str, step: int) -> Batch:
        return toy_batch()  # the loop has seeded the step


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_levels_undo_dequantisation(levels: int) -> None:
    x = torch.randint(levels, (50, 1, 8, 8))
    value = dequantise(x, levels)
    assert value.min() >= -1
    assert value.max() < 1
    assert torch.equal(quantise(value, levels), x)
    assert value.unique().numel() > levels
    assert quantise(torch.tensor([-1.0, 1.0]), levels).tolist() == [0, levels - 1]


def test_the_critics_loss_sees_no_gradient_of_the_generator_nor_the_generators_of_the_critics_images() -> None:
    model = build(classes=True, r1=1.0)
    game = model.losses(toy_batch(), CLOCK)
    next(game)["critic"].backward()
    assert all(p.grad is None for p in model.generator.parameters())
    assert all(p.grad is not None for p in model.critic.parameters())
    next(game)["generator"].backward()
    assert all(p.grad is not None for p in model.generator.parameters())


def test_one_pass_of_the_generator_serves_both_players_and_moves_its_statistics_in_its_own_step_alone() -> None:
    """Fakes are normalised by their own batch in both steps, and the images are the same."""
    model, batch = build(), toy_batch()
    with torch.no_grad():  # what is far from a new model's mean 0 and variance 1
        model.generator.project.weight.mul_(20)
    seen: list[Tensor] = []
    model.critic.register_forward_pre_hook(lambda _, x: seen.append(x[0].detach()))
    before = {name: buffer.clone() for name, buffer in model.generator.named_buffers()}
    game = model.losses(batch, CLOCK)
    torch.manual_seed(5)
    next(game)
    assert not any(m.training for m in model.generator.modules() if isinstance(m, torch.nn.BatchNorm2d))
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.generator.named_buffers())
    next(game)
    assert torch.equal(seen[0][len(batch) :], seen[1])
    after = {name: buffer.clone() for name, buffer in model.generator.named_buffers()}
    model.generator.load_state_dict(before, strict=False)
    torch.manual_seed(5)
    model.set_training("generator")
    assert torch.equal(seen[1], model.generator(torch.randn(len(batch), model.config.latent)).detach())
    assert all(torch.equal(buffer, after[name]) for name, buffer in model.generator.named_buffers())


def test_the_finished_generator_is_normalised_by_the_statistics_of_its_average_weights() -> None:
    """Each layer's running mean is that of draws through the weights as saved, whatever the average was before."""
    model = build(classes=True)
    list(fit(model, Toy(TOY), settings(model, 20), key=("calibrated",)))
    saved = {name: buffer.clone() for name, buffer in model.generator.named_buffers()}
    with torch.no_grad():
        first = model.generator.project(model.prior(20_000)).view(20_000, 8, -1)
    assert torch.allclose(saved["norms.0.norm.running_mean"], first.mean((0, 2)), atol=0.02)
    assert torch.allclose(saved["norms.0.norm.running_var"], first.transpose(1, 2).flatten(0, 1).var(0), rtol=0.05)
    torch.manual_seed(99)
    model.end("fit", Toy(TOY).split)
    assert all(torch.equal(buffer, saved[name]) for name, buffer in model.generator.named_buffers()), "the same draws"


def test_samples_are_of_the_class_that_is_asked_for() -> None:
    model = build(classes=True, width=16, critic_width=16)
    list(fit(model, Toy(TOY), settings(model, 150, lr=dict.fromkeys(model.players(), 1e-2)), key=("classes",)))
    label = torch.arange(3).repeat_interleave(50)
    columns = model.eval().sample(150, label=label).float().mean((1, 2))  # (150, 8)
    brightness = torch.stack([columns[:, 3 * k : 3 * k + 2].mean(1) for k in range(3)], 1)
    assert (brightness.argmax(1) == label).float().mean() > 0.9
    assert columns.view(3, 50, 8).std(1).mean() > 0, "samples of a class differ"
    sheet = model.panels(toy_batch(4))["classes"]
    assert sheet.shape == (3, 8, 1, 8, 8)
    assert sheet[2, :, 0, :, 6:].float().mean() > sheet[2, :, 0, :, :5].float().mean()


def test_classes_are_drawn_with_the_frequencies_of_training() -> None:
    model = build(Spec((1, 8, 8), 16, classes=3, class_counts=(0, 30, 10)), classes=True)
    drawn = model.prior(4000)[:, model.config.latent :].mean(0)
    assert drawn.tolist() == pytest.approx([0, 0.75, 0.25], abs=0.03)


def test_unlabelled_items_train_a_conditional_model_without_a_class_term() -> None:
    model, x = build(classes=True), toy_batch().x
    for batch in (Batch(x), Batch(x, label=torch.full((len(x),), -1))):
        loss = next(model.losses(batch, CLOCK))["critic"]
        assert loss.isfinite()
        assert model.critic.classes is not None
        (gradient,) = torch.autograd.grad(loss, [model.critic.classes.parametrizations.weight.original])  # type: ignore[union-attr, index]
        assert not gradient.any()


def test_r1_is_gamma_over_two_times_the_squared_gradient_on_real_images_now_and_then() -> None:
    def critic_loss(r1: float, step: int) -> Tensor:
        model = build(r1=r1, spectral=False)
        torch.manual_seed(1)
        return next(model.losses(batch, Clock("fit", step, 100)))["critic"]

    batch, model = toy_batch(), build(spectral=False)
    added = critic_loss(3.0, 0) - critic_loss(0.0, 0)
    torch.manual_seed(1)
    model.generate_fakes(torch.randn(len(batch), model.config.latent))
    real = dequantise(batch.x, 16).requires_grad_()
    (gradient,) = torch.autograd.grad(model.critic(real).sum(), real)
    assert added.item() == pytest.approx(LAZY * 3.0 / 2 * gradient.square().flatten(1).sum(1).mean().item(), rel=1e-4)
    assert torch.equal(critic_loss(3.0, 1), critic_loss(0.0, 1))


@pytest.mark.parametrize("levels", [256, None], ids=["levels", "real"])
def test_every_option_trains(levels: int | None) -> None:
    spec = Spec((3, 17, 12), levels, classes=3, class_counts=(4, 4, 4))
    policies = ("color", "translation", "cutout")
    model = build(spec, loss="non_saturating", classes=True, augment=policies, r1=1.0, spectral=False)
    event = list(fit(model, Loader(spec), settings(model, 4, ema=0.9), key=("options",)))[-1]
    assert event.skipped == 0
    assert model.diagnostics.keys() == {"critic_gap", "diversity"}
    assert model.sample(2, label=torch.tensor([0, 2])).shape == (2, 3, 17, 12)


def test_a_spread_of_zero_shows_generated_images_that_are_all_alike() -> None:
    model = build()
    next(model.losses(toy_batch(), CLOCK))
    assert model.diagnostics["diversity"] > 0.1
    with torch.no_grad():
        model.generator.norms[0].norm.weight.zero_()  # type: ignore[union-attr, operator]
    next(model.losses(toy_batch(), CLOCK))
    assert model.diagnostics["diversity"] == pytest.approx(0, abs=1e-5)
