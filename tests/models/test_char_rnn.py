from __future__ import annotations

import itertools
import math

import pytest
import torch

from genfoundry.models.char_rnn import CharRnn
from genfoundry.types import Batch, Clock, Draw, Spec

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
def test_the_textbook_product(cell: str) -> None:
    """p(hello) = p(h) p(e|h) p(l|he) p(l|hel) p(o|hell), each factor from a model that is shown the prefix alone."""
    model, alphabet = build(cell, 5, 4), "helo"
    product = 1.0
    for prefix, following in (("", "h"), ("h", "e"), ("he", "l"), ("hel", "l"), ("hell", "o")):
        shown = torch.tensor([[alphabet.index(c) for c in prefix + following]])
        product *= model.predict(Batch(shown))[0, -1].exp()[alphabet.index(following)].item()
    hello = torch.tensor([[alphabet.index(c) for c in "hello"]])
    assert math.exp(-model.measure(Batch(hello))["nll"].item()) == pytest.approx(product, rel=1e-5)
    assert 0 < product < 0.9


def test_the_plain_cell_by_its_equations() -> None:
    """h_t = tanh(W_hh h_{t-1} + W_xh x_t), o_t = W_hy h_t, in plain arithmetic; x_0 is the start symbol."""
    model, text = build("rnn", 3, 3), [2, 0, 1]
    w_xh, w_hh = model.cell.w_xh.tolist(), model.cell.w_hh.tolist()  # (inputs, W), (W, W)
    w_hy, h, nats = model.w_hy.weight.tolist(), [0.0] * 6, 0.0
    for read, following in zip([3, *text[:-1]], text, strict=True):
        h = [math.tanh(sum(w * v for w, v in zip(row, h, strict=True)) + w_xh[read][i]) for i, row in enumerate(w_hh)]
        o = [sum(w * v for w, v in zip(row, h, strict=True)) for row in w_hy]
        nats -= o[following] - math.log(sum(map(math.exp, o)))
    assert model.measure(Batch(torch.tensor([text])))["nll"].item() == pytest.approx(nats, rel=1e-5)


@pytest.mark.parametrize("cell", CELLS)
@torch.no_grad()
def test_a_text_costs_what_its_pieces_cost_one_after_another(cell: str) -> None:
    """-log p(ab) = -log p(a) - log p(b|a), whatever the cut; and not -log p(a) - log p(b)."""
    model, text = build(cell, 12), torch.randint(3, (4, 12))
    whole = model.measure(Batch(text))["nll"]
    for cuts in ([5, 7], [1, 1, 9, 1], [12]):
        state, parts = None, []
        for piece in text.split(cuts, 1):
            nll, state = model.stream(Batch(piece), state)
            parts.append(nll)
        assert torch.allclose(torch.stack(parts).sum(0), whole, atol=1e-4)
    apart = sum(model.stream(Batch(piece), None)[0] for piece in text.split([5, 7], 1))
    assert (apart - whole).abs().min() > 1e-3


@pytest.mark.parametrize("cell", CELLS)
@torch.no_grad()
def test_a_row_begins_anew_whatever_the_others_do(cell: str) -> None:
    model, (a, b) = build(cell), torch.randint(3, (2, 3, 4))
    _, state = model.stream(Batch(a), None)
    fresh = torch.tensor([False, True, False])
    mixed, after = model.stream(Batch(b, fresh=fresh), state)
    on, anew = (model.stream(Batch(b), s) for s in (state, None))
    assert torch.equal(mixed, torch.where(fresh, anew[0], on[0]))
    assert torch.equal(after[1], torch.where(fresh[:, None], anew[1][1], on[1][1]))


@pytest.mark.parametrize("cell", CELLS)
def test_training_on_streams_carries_the_state_but_no_gradient(cell: str) -> None:
    model, (a, b) = build(cell).train(), torch.randint(3, (2, 3, 4))
    for step, (x, fresh) in enumerate([(a, True), (b, False)]):
        batch = Batch(x, fresh=torch.full((3,), fresh))
        loss = next(model.losses(batch, Clock("fit", step, 2)))["model"]
    _, state = model.stream(Batch(a), None)
    expected = model.stream(Batch(b), tuple(s.detach() for s in state))[0].mean() / 4
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    for ours, theirs in zip(*(torch.autograd.grad(x, list(model.parameters())) for x in (loss, expected)), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-7)
    model.end("fit", None)
    assert not len(model.unread), "a finished model carries nothing"
    assert not {"unread", "carried"} & model.state_dict().keys()


@pytest.mark.parametrize("cell", CELLS)
def test_causal_by_the_jacobian(cell: str) -> None:
    model, x = build(cell, 6), torch.randint(3, (1, 6))
    logits = model.predict(Batch(x))
    for t in range(6):
        other = x.clone()
        other[:, t] = (x[:, t] + 1) % 3
        moved = (model.predict(Batch(other)) - logits).abs().amax(-1)[0]
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
        whole = torch.cat([whole, model.predict(Batch(padded))[:, -1].argmax(-1, keepdim=True)], 1)
    assert torch.equal(whole[:, 7:], drawn)


def test_the_plain_cell_has_no_bias() -> None:
    assert {k for k, _ in build("rnn").named_parameters()} == {"cell.w_xh", "cell.w_hh", "w_hy.weight"}
