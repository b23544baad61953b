from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny import Loader, settings
from torch import Tensor

from genfoundry.models.vae_gan import VaeGan
from genfoundry.nn.adversarial.losses import LOSSES
from genfoundry.nn.conv.blocks import scale_levels
from genfoundry.nn.conv.dequantisation import dequantise
from genfoundry.nn.latent.gaussian import Normal
from genfoundry.training.loop import fit
from genfoundry.types import Batch, Clock, Spec

SPEC = Spec((1, 8, 8), 16)
CLOCK = Clock("fit", 9, 10)  # the KL term has its whole weight
GAMMA, BETA, PRECISION = 0.3, 0.7, 2.0


def build(**hyper: Any) -> VaeGan:
    torch.manual_seed(0)
    return VaeGan(SPEC, VaeGan.Config(**hyper))


class Parts:
    """The terms of all losses, from the same draws as in the step after `torch.manual_seed(1)`."""

    def __init__(self, model: VaeGan, x: Tensor) -> None:
        torch.manual_seed(1)
        mean, log_std = model.encoder(scale_levels(x, SPEC)).chunk(2, 1)
        q = Normal.from_output(torch.cat([mean, log_std], 1))
        self.kl = 0.5 * ((2 * q.scale).exp() + q.mean.square() - 1 - 2 * q.scale).sum(1).mean()
        self.real = dequantise(x, 16)
        z = q.mean + q.scale.exp() * torch.randn_like(q.mean)
        self.fake = model.decoder(torch.cat([z, model.prior(len(x))]))
        features = [model.critic.features(images).flatten(1) for images in (self.real, self.fake[: len(x)])]
        self.error = 0.5 * PRECISION * (features[0] - features[1]).square().sum(1).mean()
        self.scores = model.critic(self.fake)


def gradients(loss: Tensor, model: VaeGan, player: str) -> list[Tensor]:
    found = torch.autograd.grad(loss, model.players()[player], retain_graph=True, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for g, p in zip(found, model.players()[player], strict=True)]


def alike(a: list[Tensor], b: list[Tensor]) -> bool:
    return all(torch.allclose(x, y, rtol=1e-3, atol=1e-6) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("loss", ["hinge", "non_saturating"])
def test_every_player_has_the_gradient_of_its_own_losses_in_their_size(loss: str) -> None:
    """Algorithm 1. The decoder's is gamma times that of the error plus that of its samples' scores, nothing else."""
    model = build(loss=loss, spectral=False, gamma=GAMMA, beta=BETA, precision=PRECISION)
    batch = Batch(torch.randint(16, (8, 1, 8, 8)))
    torch.manual_seed(1)
    losses = next(model.losses(batch, CLOCK))
    parts, pair = Parts(model, batch.x), LOSSES[loss]
    decoder = zip(
        gradients(parts.error, model, "decoder"),
        gradients(pair.generator(parts.scores), model, "decoder"),
        strict=True,
    )
    assert alike(gradients(losses["decoder"], model, "decoder"), [GAMMA * e + s for e, s in decoder])
    assert alike(
        gradients(losses["encoder"], model, "encoder"), gradients(BETA * parts.kl + parts.error, model, "encoder")
    )
    own = pair.critic(model.critic(parts.real), model.critic(parts.fake.detach()))
    assert alike(gradients(losses["critic"], model, "critic"), gradients(own, model, "critic"))


@pytest.mark.parametrize("spectral", [False, True])
def test_the_decoder_lowers_its_error_and_raises_the_critics_scores(spectral: bool) -> None:
    """A small step down either part of its loss, alone, changes that part as intended."""
    x = torch.randint(16, (8, 1, 8, 8))

    def step(part: str) -> tuple[float, float]:
        model = build(spectral=spectral, precision=PRECISION)
        for _ in range(20):
            Parts(model, x)  # power iterations, so that the critic is the same before and after
        model.set_training("decoder")
        before = Parts(model, x)
        loss = before.error if part == "error" else LOSSES["hinge"].generator(before.scores)
        with torch.no_grad():
            for p, g in zip(model.players()["decoder"], gradients(loss, model, "decoder"), strict=True):
                p -= 1e-3 * g
        after = Parts(model, x)
        return (after.error - before.error).item(), (after.scores.mean() - before.scores.mean()).item()

    assert step("error")[0] < -1e-6
    assert step("score")[1] > 1e-6


class Columns(Loader):
    """A bright column of pixels in one of six places: what an autoencoder of a small code can tell."""

    def batch(self, phase: str, step: int) -> Batch:
        x = torch.randint(3, (32, 1, 8, 8))
        x[torch.arange(32), :, :, torch.randint(6, (32,))] = 15
        return Batch(x)


def test_reconstructions_resemble_their_images_and_restorations_the_clean_ones() -> None:
    model = build(noise="mask", level=0.3, precision=20.0, gamma=0.2, width=16)
    rates = dict.fromkeys(model.players(), 5e-3)
    list(fit(model, Columns(SPEC), settings(model, 80, lr=rates), key=("columns",)))
    model.eval()
    torch.manual_seed(4)
    x = Columns(SPEC).batch("", 0).x
    known = torch.rand(32, 1, 8, 8) > 0.3
    column = x.float().mean((1, 2)).argmax(1)
    for made in (model.reconstruct(Batch(x)), model.restore(x * known, known)):
        assert made.shape == x.shape
        assert (made.mean((1, 2)).argmax(1) == column).float().mean() > 0.8
    assert torch.equal(made[known], x.float()[known]), "what is known stays"
    assert torch.equal(model.decode(model.embed(Batch(x))), model.reconstruct(Batch(x)))


def test_the_finished_decoder_has_the_statistics_of_codes_as_in_training() -> None:
    model = build()
    loader = Loader(SPEC)
    list(fit(model, loader, settings(model, 10), key=("calibrated",)))
    saved = {name: buffer.clone() for name, buffer in model.decoder.named_buffers()}
    torch.manual_seed(99)
    model.end("fit", loader.split)
    assert all(torch.equal(buffer, saved[name]) for name, buffer in model.decoder.named_buffers()), "the same draws"
    with torch.no_grad():
        codes = torch.cat([model.draw_codes(loader.split) for _ in range(40)])
        first = model.decoder.project(codes).view(len(codes), 8, -1)
    assert torch.allclose(saved["norms.0.norm.running_mean"], first.mean((0, 2)), atol=0.03)
