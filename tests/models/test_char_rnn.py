from __future__ import annotations

import itertools
import math

import pytest
import torch

from genfoundry.models.char_rnn import CharRnn
from genfoundry.types import Batch, Draw, Spec

CELLS = ["rnn", "lstm", "gru"]


def build(cell: str, length: int = 4, levels: int = 3) -> CharRnn:
    torch.manual_seed(0)
    model = CharRnn(Spec((length,), levels), CharRnn.Config.model_validate({"cell": cell, "width": 6}))
    with torch.no_grad():  # far from uniform
        model.w_hy.weight.mul_(4)
    return model.eval()


@pytest.mark.parametrize("cell", CELLS)
def test_mass_of_all_strings_is_one(cell: str) -> None:
    every = torch.tensor(list(itertools.product(range(3), repeat=4)))
    mass = build(cell).measure(Batch(every))["nll"].neg().double().exp()
    assert mass.sum().item() == pytest.approx(1.0, abs=1e-6)
    assert mass.max() > 3 * mass.min()


@pytest.mark.parametrize("cell", CELLS)
def test_causal_by_the_jacobian(cell: str) -> None:
    model, x = build(cell, 6), torch.randint(3, (1, 6))
    logits = model.logits(x)
    for t in range(6):
        other = x.clone()
        other[:, t] = (x[:, t] + 1) % 3
        moved = (model.logits(other) - logits).abs().amax(-1)[0]
        assert moved[: t + 1].max() == 0
        assert t == 5 or moved[t + 1] > 0


@pytest.mark.parametrize("cell", CELLS)
def test_samples_follow_the_mass(cell: str) -> None:
    model, n = build(cell, 2), 40_000
    torch.manual_seed(1)
    drawn = model.sample(n)
    every = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    mass = model.measure(Batch(every))["nll"].neg().exp()
    seen = torch.bincount(drawn[:, 0] * 3 + drawn[:, 1], minlength=9) / n
    assert (seen - mass).abs().max() < 5 / math.sqrt(n)


@pytest.mark.parametrize("cell", CELLS)
def test_a_prompt_is_continued(cell: str) -> None:
    """The likeliest continuation is that of the logits, one full pass a character."""
    model, prompt = build(cell, 5), torch.randint(3, (2, 7))
    drawn = model.sample(2, prompt, draw=Draw(temperature=0.0))
    whole = prompt
    for _ in range(5):
        padded = torch.cat([whole, whole[:, :1]], 1)  # the last character is not looked at
        whole = torch.cat([whole, model.logits(padded)[:, -1].argmax(-1, keepdim=True)], 1)
    assert torch.equal(whole[:, 7:], drawn)


def test_the_plain_cell_has_no_bias() -> None:
    assert {k for k, _ in build("rnn").named_parameters()} == {"cell.w_xh", "cell.w_hh", "w_hy.weight"}
