from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from genfoundry.nn.sequence.rnn_cells import Kind, PlainCell, build_cell, zero_state


def test_the_plain_cell_is_its_equation() -> None:
    torch.manual_seed(0)
    own, x = PlainCell(5, 7), torch.randint(5, (3, 11))
    states, last = own(x, torch.zeros(1, 3, 7))
    w_xh, w_hh, h = own.w_xh.T, own.w_hh, torch.zeros(3, 7)  # W_xh is (width, inputs)
    assert {name for name, _ in own.named_parameters()} == {"w_xh", "w_hh"}
    for t in range(11):
        one_hot = F.one_hot(x[:, t], 5).float()
        h = torch.stack([torch.tanh(w_hh @ h[b] + w_xh @ one_hot[b]) for b in range(3)])
        assert torch.allclose(states[:, t], h, atol=1e-6)
    assert torch.allclose(last[0], h, atol=1e-6)


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
def test_a_state_carries_all(kind: Kind) -> None:
    torch.manual_seed(0)
    own, x = build_cell(kind, 5, 7, 4), torch.randint(5, (3, 10))
    start = zero_state(kind, 3, 7, torch.device("cpu"))
    whole, last = own(x, start)
    first, state = own(x[:, :4], start)
    second, end = own(x[:, 4:], state)
    assert torch.allclose(whole, torch.cat([first, second], 1), atol=1e-6)
    assert torch.allclose(last, end, atol=1e-6)
    assert torch.equal(own(x[:, :0], start)[1], start)


def test_a_new_lstm_remembers() -> None:
    own = dict(build_cell("lstm", 5, 7, 4).named_parameters())
    assert (own["core.bias_ih_l0"] + own["core.bias_hh_l0"])[7:14].tolist() == [1.0] * 7
