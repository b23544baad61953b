"""The sentence VAE: normalised, a bound, blind to padding, and dropout in training alone."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from genfoundry.models.text_vae import END, STEPS, TextVae
from genfoundry.nn.sequence.end_of_sequence import mask_inside
from genfoundry.types import Batch, Clock, Draw, Spec


def build(length: int = 3, levels: int = 3, **more: object) -> TextVae:
    torch.manual_seed(0)
    model = TextVae(Spec((length,), levels), TextVae.Config.model_validate({"latent": 2, "width": 8, **more}))
    with torch.no_grad():  # far from uniform, and with codes that matter
        model.out.weight.mul_(4)
        model.first.weight.mul_(3)
        model.posterior.weight.mul_(2)
    return model.eval()


def every(length: int = 3, levels: int = 3) -> Tensor:
    """All lines of up to `length` characters, padded with ends."""
    found = torch.tensor(list(itertools.product(range(levels), repeat=length)))
    return (found * mask_inside(found, END)).unique(dim=0)


def exact(model: TextVae, x: Tensor) -> Tensor:
    """(N,) -log p(x) by a grid over two codes."""
    side = torch.linspace(-5, 5, 61)
    z = torch.cartesian_prod(side, side)
    mass = (-0.5 * z.square().sum(1)).exp()
    mass = (mass / mass.sum()).log()
    each = [
        mass.logsumexp(0) if not len(x) else (mass - model.reconstruction_nll(one.expand(len(z), -1), z)) for one in x
    ]
    return -torch.stack([e.logsumexp(0) for e in each])


@torch.no_grad()
def test_mass_of_all_lines_is_one_given_a_code() -> None:
    model, x = build(), every()
    assert len(x) == 1 + 2 + 4 + 8
    for z in torch.randn(4, 2):
        mass = model.reconstruction_nll(x, z.expand(len(x), -1)).neg().exp().sum().item()
        assert mass == pytest.approx(1.0, abs=1e-5)


@torch.no_grad()
def test_bounds_stand_in_their_order() -> None:
    """-ELBO >= importance-weighted bound of 10 >= of 100 >= -log p(x), each in the mean over draws."""
    model, x = build(), every()
    truth = exact(model, x)
    assert truth.neg().exp().sum().item() == pytest.approx(1.0, abs=1e-3)
    repeats = 400
    many = Batch(x.repeat(repeats, 1))
    means = [model.measure(many)["nll"].view(repeats, -1).mean(0)]
    means += [model.bound(many, k).view(repeats, -1).mean(0) for k in (1, 10, 100)]
    assert torch.allclose(means[0], means[1], atol=0.15)
    for looser, tighter in itertools.pairwise([means[0], *means[2:], truth]):
        assert (looser > tighter - 0.03).all() and looser.mean() > tighter.mean()
    assert torch.allclose(means[-1], truth, atol=0.3)


@torch.no_grad()
def test_the_rate_is_the_divergence() -> None:
    model, x = build(), every()
    torch.manual_seed(1)
    measured, q = model.measure(Batch(x)), model.encode(x)
    assert torch.allclose(measured["nll"], measured["rate"] + measured["distortion"])
    z = q.mean + q.scale.exp() * torch.randn(20_000, *q.mean.shape)
    normal = torch.distributions.Normal
    drawn = (normal(q.mean, q.scale.exp()).log_prob(z) - normal(0.0, 1.0).log_prob(z)).sum(2).mean(0)
    assert torch.allclose(measured["rate"], drawn, atol=0.05)
    assert measured["rate"].max() > 0.1


@torch.no_grad()
def test_padding_changes_nothing() -> None:
    """Neither more of it, nor other characters after the end."""
    model, x, z = build(), every(), torch.randn(15, 2)
    for after in (torch.zeros(15, 5, dtype=torch.int64), torch.randint(3, (15, 5))):
        closed = torch.cat([x, torch.zeros(15, 1, dtype=torch.int64)], 1)
        longer = torch.cat([closed, after], 1)
        assert torch.allclose(model.reconstruction_nll(closed, z), model.reconstruction_nll(longer, z), atol=1e-5)
        assert torch.allclose(model.encode(closed).mean, model.encode(longer).mean, atol=1e-5)
        assert torch.allclose(model.encode(closed).scale, model.encode(longer).scale, atol=1e-5)


@torch.no_grad()
def test_the_encoder_reads_both_ways() -> None:
    model = build(6, 5)
    x = torch.tensor([[1, 2, 3, 4, 0, 0]])
    whole = model.encode(x).mean
    for t in range(4):
        other = x.clone()
        other[0, t] = x[0, t] % 4 + 1
        assert (model.encode(other).mean - whole).abs().max() > 1e-4
    turned = x[:, [3, 2, 1, 0, 4, 5]]
    assert not torch.allclose(model.encode(turned).mean, whole, atol=1e-4)


def test_characters_are_hidden_in_training_alone() -> None:
    model, batch = build(dropout=1.0, warm=0.0, free_bits=0.0), Batch(every())
    z = torch.randn(15, 2)
    assert not torch.allclose(model.reconstruction_nll(batch.x, z), model.reconstruction_nll(batch.x, z, 1.0))
    torch.manual_seed(2)
    (trained,) = (losses["model"] for losses in model.losses(batch, Clock("fit", 9, 10)))
    torch.manual_seed(2)
    q = model.encode(batch.x)
    hidden = model.reconstruction_nll(batch.x, q.sample(), 1.0).mean() + model.measure(batch)["rate"].mean()
    assert trained.item() == pytest.approx(
        hidden.item() / mask_inside(batch.x, END).sum(1).float().mean().item(), rel=1e-5
    )
    model.train()
    torch.manual_seed(3)
    first = model.measure(batch)["nll"]
    torch.manual_seed(3)
    assert torch.equal(model.eval().measure(batch)["nll"], first)


@torch.no_grad()
def test_samples_follow_the_mass() -> None:
    model, x, n = build(), every(), 40_000
    drawn = model.sample(n)
    seen = (drawn[:, None] == x).all(2).float().mean(0)
    assert seen.sum().item() == pytest.approx(1.0)  # after its end a line has ends alone
    assert (seen - exact(model, x).neg().exp()).abs().max() < 5 / math.sqrt(n)


@torch.no_grad()
def test_a_prompt_is_continued() -> None:
    """The continuation is drawn from p(rest | prompt), by codes that explain the prompt."""
    model, x, n = build(), every(), 20_000
    mass = exact(model, x).neg().exp()
    begun = x[:, 0] == 1
    drawn = model.sample(n, torch.ones(n, 1, dtype=torch.int64))
    assert drawn.shape == (n, 3) and (drawn[:, 2] == 0).all()  # room for three, the prompt's one among them
    seen = (drawn[:, None, :2] == x[begun][:, 1:]).all(2).float().mean(0)
    assert (seen - mass[begun] / mass[begun].sum()).abs().max() < 0.03


@torch.no_grad()
def test_interpolation_ends_at_both_lines() -> None:
    model = build(8, 5)
    x = torch.randint(1, 5, (4, 8))
    x[:, 5:] = 0
    strips = model.panels(Batch(x))["interpolation"].view(2, STEPS + 3, 8)
    assert (strips[:, -1] == 0).all()
    strips = strips[:, :-1]
    decoded = model.decode(model.embed(Batch(x))).view(2, 2, 8)
    assert torch.equal(strips[:, 0], x[0::2]) and torch.equal(strips[:, -1], x[1::2])
    assert torch.equal(strips[:, 1], decoded[:, 0]) and torch.equal(strips[:, -2], decoded[:, 1])


@torch.no_grad()
def test_the_decode_is_greedy() -> None:
    model, z = build(6, 4), torch.randn(5, 2)
    text = model.decode(z)
    assert torch.equal(text, model.generate(z, Draw(temperature=0.0)))
    before = torch.cat([text.new_full((5, 1), model.start), text[:, :-1]], 1)
    best = model.out(model.decoder(before, model.first_state(z), z)[0]).argmax(-1)
    assert torch.equal(best * mask_inside(text, END), text)
